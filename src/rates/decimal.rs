//! AWS's decimal texts as nano-dollars.
//!
//! Guarantees: exact for any number of digits, by moving the point and not by arithmetic; what is below a nano-dollar is
//! rounded up, so that a price is never too low. Must never use floating point.

/// Nano-dollars of `text` dollars, for ten to the power of `tens` of what it is the price of. None where it is no decimal
/// number of at least nothing, or too large.
pub(super) fn nanos(text: &str, tens: u32) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|it| it.abs() <= 1000)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // The place of the point in all digits, moved to where nano-dollars begin.
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent) + 9 + i64::from(tens);
    let mut amount: i64 = 0;
    let mut rest = false;
    let mut place = 0;
    for digit in whole.bytes().chain(fraction.bytes()).map(|byte| i64::from(byte - b'0')) {
        if place < point {
            amount = amount.checked_mul(10)?.checked_add(digit)?;
        } else {
            rest |= digit > 0;
        }
        place += 1;
    }
    while amount > 0 && place < point {
        amount = amount.checked_mul(10)?;
        place += 1;
    }
    amount.checked_add(i64::from(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn aws_s_texts_are_read_to_the_nano_dollar_and_what_is_below_is_rounded_up() {
        for (text, tens, expected) in [
            ("0.0404800000", 0, 40_480_000),
            ("0.0000100000", 3, 10_000_000),
            ("0.0000050000", 4, 50_000_000),
            ("0.0000010000", 6, 1_000_000_000),
            ("1", 0, 1_000_000_000),
            ("0.0000000001", 0, 1),
            ("0.0000000010", 0, 1),
            ("0.00000000101", 0, 2),
            ("1.0E-5", 3, 10_000_000),
            ("3e-6", 4, 30_000_000),
            ("0.0000000000", 0, 0),
            ("000.5", 0, 500_000_000),
            ("2E-12", 0, 1),
            ("0E-10", 0, 0),
        ] {
            assert_eq!(nanos(text, tens), Some(expected), "{text}");
        }
        for bad in
            ["", ".", "1.", ".5", "-1", "+1", "1,5", "1.2.3", "0x1", "1e", "1e+", "NaN", "9999999999999999999", "1e30"]
        {
            assert_eq!(nanos(bad, 0), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_decimal_text_is_read_exactly(whole in 0u64..1_000_000, fraction in "[0-9]{1,40}", tens in 0u32..4) {
            let read = nanos(&format!("{whole}.{fraction}"), tens).unwrap();
            // The same by arithmetic: so many digits count, the others only round up.
            let kept = 9 + tens as usize;
            let padded = format!("{fraction:0<kept$}");
            let counted = u128::from(whole) * 10u128.pow(9 + tens) + padded[..kept].parse::<u128>().unwrap();
            let up = padded[kept..].bytes().any(|byte| byte != b'0');
            prop_assert_eq!(u128::try_from(read).unwrap(), counted + u128::from(up));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", digits in "[0-9.eE+-]{0,30}", tens in 0u32..9) {
            let _ = nanos(&text, tens);
            let _ = nanos(&digits, tens);
        }
    }
}
