//! The time zones of instances that have one of their own.

use std::collections::BTreeMap;
use std::rc::Rc;

use deepguard::zone::Clocks;
use deepguard_aws::clocks::clocks;
use deepguard_aws::ids::InstanceId;
use jiff::tz::TimeZone;
use tracing::warn;

/// The tag that names the time zone of an instance, in place of the deployment's.
pub(crate) const ZONE_TAG: &str = "deepguard:timezone";

/// The clocks of the instances with that tag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    of: BTreeMap<InstanceId, Rc<str>>,
    clocks: BTreeMap<Rc<str>, Clocks>,
}

impl<'a> FromIterator<(&'a InstanceId, &'a str)> for Zones {
    /// Of the values of the tag. An instance whose tag names no zone has the deployment's.
    fn from_iter<I: IntoIterator<Item = (&'a InstanceId, &'a str)>>(tagged: I) -> Self {
        let mut zones = Self::default();
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for (instance, name) in tagged {
            let known = zones.clocks.get_key_value(name).map(|(name, _)| Rc::clone(name));
            let name = match known {
                Some(name) => name,
                None => match TimeZone::get(name) {
                    Ok(zone) => {
                        let name: Rc<str> = name.into();
                        zones.clocks.insert(Rc::clone(&name), clocks(&zone));
                        name
                    }
                    Err(_) => {
                        *unknown.entry(name).or_default() += 1;
                        continue;
                    }
                },
            };
            zones.of.insert(instance.clone(), name);
        }
        for (zone, instances) in unknown {
            warn!(
                zone,
                instances,
                "the tag {ZONE_TAG} names no zone of the IANA database: the deployment's is used"
            );
        }
        zones
    }
}

impl Zones {
    /// The name of an instance's own zone.
    pub(crate) fn of(&self, instance: &InstanceId) -> Option<&str> {
        self.of.get(instance).map(|name| &**name)
    }

    /// The names of all zones, with their clocks.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = (Rc<str>, &Clocks)> {
        self.clocks.iter().map(|(name, clocks)| (Rc::clone(name), clocks))
    }
}
