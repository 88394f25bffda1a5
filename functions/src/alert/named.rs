//! The words for the instance or the group that an alert is about.

use crate::alert::About;
use crate::alert::plain::plain;

impl About<'_> {
    /// The instance's name for a person.
    fn name(&self) -> Option<String> {
        self.name.map(plain).filter(|name| !name.is_empty())
    }

    /// The same for the subject, which is ASCII.
    pub(super) fn title(&self) -> String {
        match self.instance.group() {
            Some(group) => format!("group {}", plain(group)),
            None => self
                .name()
                .filter(|name| name.is_ascii())
                .unwrap_or_else(|| self.instance.to_string()),
        }
    }

    /// The instance by name and id.
    pub(super) fn who(&self) -> String {
        match (self.instance.group(), self.name()) {
            (Some(group), _) => format!("The group {} as a whole", plain(group)),
            (None, Some(name)) => format!("{name} ({})", self.instance),
            (None, None) => self.instance.to_string(),
        }
    }
}
