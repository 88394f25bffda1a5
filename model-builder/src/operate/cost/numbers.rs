//! Dollars and quantities as text.

/// Whole cents, except that a cost above zero never reads as zero.
pub(super) fn dollars(dollars: f64) -> String {
    if dollars > 0.0 && dollars < 0.005 {
        "< $0.01".into()
    } else {
        format!("${}", grouped(dollars, 2))
    }
}

/// As many decimals as are worth reading.
pub(super) fn quantity(quantity: f64) -> String {
    let decimals = match quantity {
        whole if (whole - whole.round()).abs() < 1e-9 => 0,
        large if large >= 100.0 => 0,
        medium if medium >= 1.0 => 2,
        _ => 4,
    };
    grouped(quantity, decimals)
}

/// With a comma after each three digits, as in 1,234.50.
pub(super) fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}
