//! How often an authority may be asked. The numbers are below those of Let's Encrypt, whose limits lock one out for
//! hours or a week.

use sarsen_domain::Domain;
use sarsen_store::OrdersLately;

use crate::failure::{Failure, Outcome};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// Orders of all apps in three hours (theirs: 300).
const RECENT: i64 = 250;
/// Certificates for the same names in a week (theirs: 5).
const SAME_NAMES: i64 = 4;
/// Failures for the same names in an hour (theirs: 5).
const FAILED: i64 = 4;

/// Seconds until the next try after so many failures.
pub(super) fn back_off(failures_before: u32) -> i64 {
    match failures_before {
        0 => 5 * MINUTE,
        1 => 15 * MINUTE,
        2 => HOUR,
        3 => 3 * HOUR,
        4 => 6 * HOUR,
        5 => 12 * HOUR,
        _ => 24 * HOUR,
    }
}

/// A set of names, as orders are counted by.
pub(super) fn key(hosts: &[Domain]) -> String {
    let mut names: Vec<&str> = hosts.iter().map(Domain::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// Refuses what the authority would refuse, before it counts it.
pub(super) fn check(lately: &OrdersLately, now: i64) -> Outcome {
    if lately.failed >= FAILED {
        let again = lately.first_failed_at.unwrap_or(now) + HOUR;
        return Err(Failure::new(format!(
            "The certificate authority said no to these names {} times within an hour: try again in {} minutes",
            lately.failed,
            (again - now).max(0) / MINUTE + 1
        )));
    }
    if lately.same_names >= SAME_NAMES {
        return Err(Failure::new(format!(
            "{} certificates were issued for exactly these names within a week, and the authority gives no more than 5: \
             wait, or use 'letsencrypt:set APP server staging' to try things out",
            lately.same_names
        )));
    }
    if lately.recent >= RECENT {
        return Err(Failure::new(
            "Too many certificates were asked for in the last three hours: try again later",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_and_said() {
        let fine = OrdersLately {
            recent: 249,
            same_names: 3,
            failed: 3,
            first_failed_at: Some(0),
        };
        assert!(check(&fine, 0).is_ok());
        let failed = OrdersLately { failed: 4, ..fine };
        let error = check(&failed, 30 * MINUTE).unwrap_err();
        assert!(
            error.message.ends_with("try again in 31 minutes"),
            "{error}"
        );
        for over in [
            OrdersLately {
                same_names: 4,
                ..fine
            },
            OrdersLately {
                recent: 250,
                ..fine
            },
        ] {
            assert!(check(&over, 0).is_err());
        }
    }

    #[test]
    fn waiting_grows_to_a_day() {
        let waits: Vec<i64> = (0..9).map(back_off).collect();
        assert!(waits.is_sorted() && waits.last() == Some(&(24 * HOUR)));
    }

    #[test]
    fn the_order_of_names_does_not_matter() {
        let parse = |names: &[&str]| -> Vec<Domain> {
            names
                .iter()
                .map(|name| Domain::parse(name).unwrap())
                .collect()
        };
        assert_eq!(
            key(&parse(&["b.test", "a.test"])),
            key(&parse(&["a.test", "b.test"]))
        );
    }
}
