//! The time zones of instances that have one of their own.

use std::collections::BTreeMap;
use std::rc::Rc;

use deepguard::Detector;
use deepguard::zone::Clocks;
use deepguard_aws::clocks::clocks;
use deepguard_aws::ids::TargetId;
use jiff::tz::TimeZone;
use tracing::warn;

/// The tag that names the time zone of an instance, in place of the deployment's.
pub(crate) const ZONE_TAG: &str = "deepguard:timezone";

/// The clocks of the instances with that tag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    of: BTreeMap<TargetId, Rc<str>>,
    clocks: BTreeMap<Rc<str>, Clocks>,
}

impl<'a> FromIterator<(&'a TargetId, &'a str)> for Zones {
    /// Of the values of the tag. An instance whose tag names no zone has the deployment's.
    fn from_iter<I: IntoIterator<Item = (&'a TargetId, &'a str)>>(tagged: I) -> Self {
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
    /// The detector of each instance: `default`, by the clocks of the instance's zone.
    pub(crate) fn detectors<'a>(&'a self, default: &'a Detector) -> ByZone<'a> {
        let with_clocks = |(name, clocks): (&Rc<str>, &Clocks)| {
            (Rc::clone(name), default.clone().with_clocks(clocks.clone()))
        };
        ByZone { zones: self, default, own: self.clocks.iter().map(with_clocks).collect() }
    }
}

/// A detector for each instance.
#[derive(Debug)]
pub(crate) struct ByZone<'a> {
    zones: &'a Zones,
    default: &'a Detector,
    /// By the name of the zone.
    own: BTreeMap<Rc<str>, Detector>,
}

impl ByZone<'_> {
    /// The detector that has the clocks of an instance.
    pub(crate) fn of(&self, instance: &TargetId) -> &Detector {
        let zone = self.zones.of.get(instance);
        zone.and_then(|zone| self.own.get(zone)).unwrap_or(self.default)
    }
}
