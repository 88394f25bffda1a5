//! The groups of the watched instances.

use std::collections::BTreeMap;
use std::rc::Rc;

use deepguard_aws::ids::InstanceId;

/// The groups of the instances, as far as their tags are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    of: BTreeMap<InstanceId, Rc<str>>,
    /// In order.
    members: BTreeMap<Rc<str>, Vec<InstanceId>>,
}

impl<'a> FromIterator<(&'a InstanceId, &'a str)> for Groups {
    fn from_iter<I: IntoIterator<Item = (&'a InstanceId, &'a str)>>(instances: I) -> Self {
        let mut groups = Self::default();
        for (instance, name) in instances {
            let known = groups.members.get_key_value(name).map(|(name, _)| Rc::clone(name));
            let name = known.unwrap_or_else(|| name.into());
            groups.members.entry(Rc::clone(&name)).or_default().push(instance.clone());
            groups.of.insert(instance.clone(), name);
        }
        groups
    }
}

impl Groups {
    /// The group of an instance.
    pub fn of(&self, instance: &InstanceId) -> Option<&str> {
        self.of.get(instance).map(|name| &**name)
    }

    /// The instances of a group.
    pub fn members(&self, name: &str) -> &[InstanceId] {
        self.members.get(name).map_or(&[], Vec::as_slice)
    }
}
