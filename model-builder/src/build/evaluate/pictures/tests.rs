use super::*;
use crate::build::evaluate::corpus::{THRESHOLD, squeezed};
use crate::common::time::parse_time;

#[test]
fn stamps_are_read_as_they_were_written() {
    assert_eq!(stamp(1_392_388_020), "2014-02-14 14:27:00");
    assert_eq!(parse_time(&stamp(1_392_388_020)).unwrap(), 1_392_388_020);
    assert_eq!(THRESHOLD, squeezed(1.0));
}
