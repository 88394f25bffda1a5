//! A table that reads the same on the terminal, in Markdown and in HTML.

use std::fmt;

use comfy_table::CellAlignment;
use textwrap::{Options, WordSplitter};

/// Cells are text, numbers already rounded as they are to be read. A short row is filled up with
/// empty cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// Facts needed to read the numbers; may be empty.
    pub(crate) note: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// Numbers of the rows to stress.
    pub(crate) strong: Vec<usize>,
}

/// These cells, such as those of a header.
pub(crate) fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

impl Table {
    /// For documents such as the model card.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![format!("**{}**", markdown_text(&self.title)), String::new()];
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        lines.push(line(self.cells(&self.header).map(markdown_text).collect()));
        lines.push(line(
            self.columns()
                .map(|column| if self.is_numeric(column) { "--:" } else { ":--" }.into())
                .collect(),
        ));
        for (number, row) in self.rows.iter().enumerate() {
            let cell = |cell: &str| match (markdown_text(cell), self.strong.contains(&number)) {
                (text, true) if !text.is_empty() => format!("**{text}**"),
                (text, _) => text,
            };
            lines.push(line(self.cells(row).map(cell).collect()));
        }
        if !self.note.is_empty() {
            lines.extend([String::new(), markdown_paragraph(&self.note)]);
        }
        lines.join("\n") + "\n"
    }

    /// A figure of the report.
    pub(crate) fn html(&self) -> String {
        let row = |element: &str, strong: bool, cells: &[String]| {
            let cells = self.cells(cells).enumerate().map(|(column, cell)| {
                let class = if self.is_numeric(column) { " class=\"number\"" } else { "" };
                format!("<{element}{class}>{}</{element}>", html_text(cell))
            });
            let class = if strong { " class=\"strong\"" } else { "" };
            format!("<tr{class}>{}</tr>\n", cells.collect::<String>())
        };
        let rows = self.rows.iter().enumerate();
        let rows: String =
            rows.map(|(number, cells)| row("td", self.strong.contains(&number), cells)).collect();
        let note = match self.note.as_str() {
            "" => String::new(),
            note => format!("<p class=\"note\">{}</p>\n", html_text(note)),
        };
        format!(
            "<figure class=\"table\">\n<figcaption>{}</figcaption>\n\
             <div class=\"wide\"><table>\n<thead>\n{}</thead>\n\
             <tbody>\n{rows}</tbody>\n</table></div>\n{note}</figure>\n",
            html_text(&self.title),
            row("th", false, &self.header),
        )
    }

    fn columns(&self) -> std::ops::Range<usize> {
        0..self.rows.iter().chain([&self.header]).map(Vec::len).max().unwrap_or(0)
    }

    /// The cells of a row, one for each column.
    fn cells<'a>(&self, row: &'a [String]) -> impl Iterator<Item = &'a str> + use<'a> {
        self.columns().map(|column| row.get(column).map_or("", String::as_str))
    }

    /// Whether a column is of numbers, as in `12`, `-0.3 (-0.5 to 0.1)`, `7 of 9`. The first one
    /// names the rows.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.trim());
        let number = |cell: &str| {
            let unsigned =
                cell.trim_start_matches(['+', '-', '−', '±', '<', '>', '≤', '≥', '~', ' ']);
            unsigned.is_empty() || unsigned.starts_with(|first: char| first.is_ascii_digit())
        };
        column > 0 && cells.all(number)
    }
}

/// For the terminal.
impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.set_header(self.cells(&self.header));
        for (number, row) in self.rows.iter().enumerate() {
            // A plain terminal has no bold.
            let mark = if self.strong.contains(&number) { "> " } else { "" };
            table.add_row(self.cells(row).enumerate().map(|(column, cell)| match column {
                0 => format!("{mark}{cell}"),
                _ => cell.to_string(),
            }));
        }
        for (number, column) in table.column_iter_mut().enumerate() {
            if self.is_numeric(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(formatter, "{}\n{table}", self.title)?;
        if self.note.is_empty() { Ok(()) } else { writeln!(formatter, "{}", self.note) }
    }
}

/// Text that HTML shows as it is, within an element or an attribute.
pub(super) fn html_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML has no way to write other control characters.
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A paragraph of Markdown in lines of at most 100 columns.
pub(super) fn markdown_paragraph(text: &str) -> String {
    let options = Options::new(100).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&markdown_text(text), options)
}

/// Text that Markdown shows as it is, in one line.
pub(super) fn markdown_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '|' | '*' | '`' | '<' | '[' | ']' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let rows = [
            vec!["a|b <i>&\"", "1.5", "7 of 9", "seldom"],
            vec!["ours", "-0.25", "", "2 times"],
            vec!["short"],
        ];
        Table {
            title: "Found | <missed>".into(),
            note: "Not *all*.".into(),
            header: ["detector", "score", "found", "when"].map(String::from).to_vec(),
            rows: rows.map(|row| row.into_iter().map(String::from).collect()).to_vec(),
            strong: vec![1],
        }
    }

    #[test]
    fn markdown_is_escaped_and_keeps_its_columns() {
        let expected = "**Found \\| \\<missed>**\n\n\
            | detector | score | found | when |\n\
            | :-- | --: | --: | :-- |\n\
            | a\\|b \\<i>&\" | 1.5 | 7 of 9 | seldom |\n\
            | **ours** | **-0.25** |  | **2 times** |\n\
            | short |  |  |  |\n\nNot \\*all\\*.\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn html_is_escaped_and_stresses_rows() {
        let html = table().html();
        assert!(html.contains("<figcaption>Found | &lt;missed&gt;</figcaption>"), "{html}");
        assert!(
            html.contains("<td>a|b &lt;i&gt;&amp;&quot;</td><td class=\"number\">1.5</td>"),
            "{html}"
        );
        assert!(html.contains("<tr class=\"strong\"><td>ours</td>"), "{html}");
        assert_eq!(html.matches("<td").count(), 12);
    }

    #[test]
    fn on_the_terminal_numbers_end_in_one_column() {
        let text = table().to_string();
        let end =
            |number: &str| text.lines().find_map(|line| Some(line.find(number)? + number.len()));
        assert_eq!(end("1.5 "), end("-0.25 "), "{text}");
        assert!(
            text.contains("> ours")
                && text.starts_with("Found | <missed>\n")
                && text.ends_with("Not *all*.\n")
        );
    }

    #[test]
    fn a_table_of_nothing_is_a_table() {
        let empty = Table::default();
        assert!(
            empty.html().contains("<table>")
                && !empty.markdown().is_empty()
                && !empty.to_string().is_empty()
        );
    }
}
