//! The groups of the watched instances, and of Auto Scaling groups that are watched as a whole.

use std::collections::BTreeMap;
use std::rc::Rc;

use deepguard_aws::ids::TargetId;

/// The groups of the instances, as far as their tags are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    of: BTreeMap<TargetId, Rc<str>>,
    /// The instances, in order.
    members: BTreeMap<Rc<str>, Vec<TargetId>>,
    /// How many belong to each group, those included that are watched as a whole.
    sizes: BTreeMap<Rc<str>, usize>,
}

impl<'a> FromIterator<(&'a TargetId, &'a str)> for Groups {
    fn from_iter<I: IntoIterator<Item = (&'a TargetId, &'a str)>>(instances: I) -> Self {
        let mut groups = Self::default();
        for (instance, name) in instances {
            let known = groups.sizes.get_key_value(name).map(|(name, _)| Rc::clone(name));
            let name = known.unwrap_or_else(|| name.into());
            *groups.sizes.entry(Rc::clone(&name)).or_default() += 1;
            if instance.group().is_none() {
                groups.members.entry(Rc::clone(&name)).or_default().push(instance.clone());
            }
            groups.of.insert(instance.clone(), name);
        }
        groups
    }
}

impl Groups {
    /// The group of an instance.
    pub fn of(&self, instance: &TargetId) -> Option<&str> {
        self.of.get(instance).map(|name| &**name)
    }

    /// How many belong to a group: its instances, and itself where it is watched as a whole.
    pub fn size(&self, name: &str) -> usize {
        self.sizes.get(name).copied().unwrap_or(0)
    }

    /// The group of an instance, and its size.
    pub fn with_size(&self, instance: &TargetId) -> Option<(String, usize)> {
        let name = self.of(instance)?;
        Some((name.to_string(), self.size(name)))
    }

    /// The instances of a group.
    pub fn members(&self, name: &str) -> &[TargetId] {
        self.members.get(name).map_or(&[], Vec::as_slice)
    }
}
