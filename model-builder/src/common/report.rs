//! The report of an evaluation: text, tables and pictures, as one self-contained page or as
//! Markdown.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::table::{Table, html_text, markdown_paragraph, markdown_text};
use crate::common::files::write_whole;

const STYLE: &str = include_str!("report.css");
/// How every PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The contents of a report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) sections: Vec<Section>,
}

/// A heading and what is below it, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    heading: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Paragraph(String),
    Table(Table),
    Picture(Picture),
}

/// A PNG in the folder of the report.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Its name in the folder.
    pub(crate) file: String,
    /// A description for readers who cannot see the picture.
    pub(crate) alt: String,
    pub(crate) caption: String,
}

impl Section {
    pub(crate) fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), parts: Vec::new() }
    }

    /// Adds a paragraph of plain text.
    pub(crate) fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Paragraph(text.into()));
        self
    }

    pub(crate) fn table(mut self, table: Table) -> Self {
        self.parts.push(Part::Table(table));
        self
    }

    pub(crate) fn picture(mut self, picture: Picture) -> Self {
        self.parts.push(Part::Picture(picture));
        self
    }
}

impl Report {
    /// Writes `report.html` into the folder, where its pictures already are. They are in the page
    /// as well; the files are only what a click opens.
    ///
    /// # Errors
    /// Where a picture is missing or no PNG, or the page cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_whole(&folder.join("report.html"), self.html(folder)?.as_bytes())
    }

    fn html(&self, folder: &Path) -> Result<String> {
        let (mut contents, mut sections) = (String::new(), String::new());
        for (number, section) in self.sections.iter().enumerate() {
            let heading = html_text(&section.heading);
            contents += &format!("<li><a href=\"#part-{number}\">{heading}</a></li>\n");
            sections += &format!("<section id=\"part-{number}\">\n<h2>{heading}</h2>\n");
            for part in &section.parts {
                sections += &match part {
                    Part::Paragraph(text) => format!("<p>{}</p>\n", html_text(text)),
                    Part::Table(table) => table.html(),
                    Part::Picture(picture) => picture.html(folder)?,
                };
            }
            sections += "</section>\n";
        }
        // A table of contents with one entry says nothing.
        if self.sections.len() > 1 {
            contents = format!("<nav aria-label=\"Contents\">\n<ol>\n{contents}</ol>\n</nav>\n");
        } else {
            contents.clear();
        }
        let (title, subtitle) = (html_text(&self.title), html_text(&self.subtitle));
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n<p class=\"subtitle\">{subtitle}</p>\n</header>\n\
             {contents}<main>\n{sections}</main>\n</body>\n</html>\n"
        ))
    }

    /// The report as Markdown. `pictures` is the way from the document to their folder, such as
    /// `images/`; without it they are left out.
    pub(crate) fn markdown(&self, pictures: Option<&str>) -> String {
        let mut blocks =
            vec![format!("# {}", markdown_text(&self.title)), markdown_paragraph(&self.subtitle)];
        for section in &self.sections {
            blocks.push(format!("## {}", markdown_text(&section.heading)));
            for part in &section.parts {
                match (part, pictures) {
                    (Part::Paragraph(text), _) => blocks.push(markdown_paragraph(text)),
                    (Part::Table(table), _) => blocks.push(table.markdown().trim_end().to_string()),
                    (Part::Picture(picture), Some(folder)) => {
                        let [alt, caption] =
                            [&picture.alt, &picture.caption].map(|text| markdown_text(text));
                        blocks.push(format!("![{alt}]({folder}{})", picture.file));
                        blocks.push(if caption.is_empty() {
                            caption
                        } else {
                            format!("*{caption}*")
                        });
                    }
                    (Part::Picture(_), None) => {}
                }
            }
        }
        blocks.retain(|block| !block.is_empty());
        blocks.join("\n\n") + "\n"
    }
}

impl Picture {
    fn html(&self, folder: &Path) -> Result<String> {
        let usual = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        ensure!(
            self.file.chars().all(usual) && !self.file.starts_with('.'),
            "`{}` is not the name of a picture: letters, digits, `-`, `_` and `.`",
            self.file
        );
        let path = folder.join(&self.file);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(bytes.starts_with(PNG), "{} is no PNG", path.display());
        Ok(format!(
            "<figure>\n<a href=\"{}\"><img alt=\"{}\" src=\"data:image/png;base64,{}\"/></a>\n\
             <figcaption>{}</figcaption>\n</figure>\n",
            self.file,
            html_text(&self.alt),
            base64(&bytes),
            html_text(&self.caption)
        ))
    }
}

/// Bytes as text, as RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            // This number of bytes makes one letter more.
            let known = letter <= chunk.len();
            text.push(if known {
                char::from(LETTERS[(bits >> (18 - 6 * letter) & 63) as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(file: &str) -> Picture {
        Picture { file: file.into(), alt: "a \"curve\"".into(), caption: "Up & down".into() }
    }

    fn report() -> Report {
        let table = Table {
            title: "Numbers".into(),
            rows: vec![vec!["a".into(), "1".into()]],
            ..Table::default()
        };
        Report {
            title: "What <it> is worth".into(),
            subtitle: "model 1 & 2".into(),
            sections: vec![
                Section::new("First").paragraph("5 < 6, see example.org").table(table),
                Section::new("Second").picture(picture("curve.png")),
            ],
        }
    }

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("curve.png"), PNG).unwrap();
        report().write(folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        for outside in ["http:", "https:", "//", "file:", "url(", "@import", "<script", "<link"] {
            let text = page.replace("data:image/png;base64,", "");
            assert!(!text.contains(outside), "{outside} in {text}");
        }
        let linked: Vec<&str> =
            page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(linked, ["#part-0", "#part-1", "curve.png"]);
        assert_eq!(page.matches(" src=\"data:image/png;base64,iVBORw0KGgo=\"").count(), 1);
        assert!(
            page.contains("<h1>What &lt;it&gt; is worth</h1>")
                && page.contains("<p>5 &lt; 6, see example.org</p>")
        );
        assert!(page.contains("alt=\"a &quot;curve&quot;\"") && page.contains("Up &amp; down"));
    }

    #[test]
    fn a_picture_that_cannot_be_shown_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("text.png"), "text").unwrap();
        for file in
            ["missing.png", "text.png", "../curve.png", "a\" onclick=\".png", "", "/etc/passwd"]
        {
            let report = Report {
                sections: vec![Section::new("One").picture(picture(file))],
                ..Report::default()
            };
            let error = format!("{:#}", report.write(folder.path()).unwrap_err());
            assert!(error.contains(file), "{file}: {error}");
        }
        assert!(!folder.path().join("report.html").exists());
    }

    #[test]
    fn markdown_has_the_same_parts() {
        let text = report().markdown(Some("images/"));
        let order = [
            "# What \\<it>",
            "model 1",
            "## First",
            "5 \\< 6",
            "**Numbers**",
            "| a | 1 |",
            "## Second",
        ];
        let places: Vec<_> = order.map(|part| text.find(part)).to_vec();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert!(text.ends_with("![a \"curve\"](images/curve.png)\n\n*Up & down*\n"), "{text}");
        assert!(!report().markdown(None).contains("curve"));
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
