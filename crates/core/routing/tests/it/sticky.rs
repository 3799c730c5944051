//! Cookies that bind.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use core_routing::sticky::{
    Binding, Named, Seal, bound_group, cookie, has_cookie, opened, set_cookies, sets_cookie,
};
use proptest::prelude::*;

use crate::balance::group;

fn seal() -> Seal {
    Seal::new(&[7; 32])
}

fn now() -> Timestamp {
    Timestamp::parse("2024-02-20T11:21:53Z").unwrap()
}

fn until() -> Timestamp {
    now() + Duration::from_secs(60)
}

const BINDINGS: [Binding; 3] = [Binding::Target, Binding::Group, Binding::Application];

#[test]
fn a_value_names_its_target_again_until_its_time_is_over() {
    let (seal, group) = (seal(), group(&[None; 5]));
    let named = Named::of(&seal, &group);
    for place in 0..5 {
        let digest = named.digest(place).unwrap();
        for binding in BINDINGS {
            let value = seal.seal(binding, digest, until());
            let open = |at| seal.open(binding, value.as_bytes(), at).and_then(|digest| named.place(digest));
            assert_eq!(open(now()), Some(place));
            assert_eq!(open(until()), None, "over");
        }
    }
    assert_eq!(named.digest(5), None);
}

#[test]
fn a_value_survives_a_change_of_places_and_not_of_targets() {
    let (seal, mut group) = (seal(), group(&[None; 3]));
    let digest = Named::of(&seal, &group).digest(2).unwrap();
    group.targets.remove(0);
    assert_eq!(Named::of(&seal, &group).place(digest), Some(1));
    group.targets.remove(1);
    assert_eq!(Named::of(&seal, &group).place(digest), None);
    let mut other = self::group(&[None; 3]);
    other.arn = "arn:green".into();
    assert_eq!(Named::of(&seal, &other).place(digest), None, "a target of another group");
}

#[test]
fn nobody_else_makes_a_value() {
    let digest = seal().target("arn:blue", "10.0.0.1", 80);
    let value = seal().seal(Binding::Target, digest, until());
    assert!(seal().open(Binding::Target, value.as_bytes(), now()).is_some());
    assert!(Seal::new(&[8; 32]).open(Binding::Target, value.as_bytes(), now()).is_none());
    assert!(seal().open(Binding::Application, value.as_bytes(), now()).is_none(), "of another kind");
    for at in 0..value.len() {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(seal().open(Binding::Target, &bytes, now()).is_none(), "changed at {at}");
    }
}

proptest! {
    #[test]
    fn garbage_binds_to_nothing(text in any::<Vec<u8>>(), letters in "[A-Za-z0-9+/]{40,46}") {
        for binding in BINDINGS {
            prop_assert!(seal().open(binding, &text, now()).is_none());
            prop_assert!(seal().open(binding, letters.as_bytes(), now()).is_none());
        }
    }
}

#[test]
fn cookies_are_found_in_their_header() {
    for (header, expected) in [
        ("AWSALB=x", Some("x")),
        ("a=b; AWSALB=x; c=d", Some("x")),
        ("a=b;AWSALB=x", Some("x")),
        ("AWSALBCORS=y; AWSALB=x", Some("x")),
        ("AWSALBCORS=y", None),
        ("awsalb=x", None),
        ("AWSALB", None),
        ("", None),
        ("XAWSALB=x", None),
        ("AWSALB=", Some("")),
    ] {
        assert_eq!(cookie(header.as_bytes(), "AWSALB"), expected.map(str::as_bytes), "{header}");
    }
}

#[test]
fn the_cookie_for_other_origins_counts_as_well() {
    let digest = seal().target("arn:blue", "10.0.0.1", 80);
    let value = seal().seal(Binding::Target, digest, until());
    for header in
        [format!("AWSALB={value}"), format!("AWSALBCORS={value}"), format!("AWSALB=old; AWSALBCORS={value}")]
    {
        let headers = [("Cookie", header.as_str())];
        assert_eq!(opened(&seal(), Binding::Target, &headers.as_slice(), now()), Some(digest), "{header}");
    }
    let two = format!("AWSALB={value}");
    let headers = [("cookie", "a=b"), ("cookie", two.as_str())];
    assert_eq!(opened(&seal(), Binding::Target, &headers.as_slice(), now()), Some(digest));
}

#[test]
fn a_client_stays_with_its_group() {
    let groups: [Arc<str>; 2] = ["arn:blue".into(), "arn:green".into()];
    let value = seal().seal(Binding::Group, seal().group("arn:green"), until());
    let header = format!("AWSALBTG={value}");
    let headers = [("Cookie", header.as_str())];
    assert_eq!(bound_group(&seal(), &groups, &headers.as_slice(), now()), Some(&groups[1]));
    assert_eq!(bound_group(&seal(), &groups[..1], &headers.as_slice(), now()), None, "no group of this rule");
}

#[test]
fn set_cookies_are_as_aws_writes_them() {
    let until = Timestamp::parse("2024-02-27T11:21:53Z").unwrap();
    assert_eq!(
        set_cookies(Binding::Target, "v", until, now(), true),
        [
            "AWSALB=v; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/",
            "AWSALBCORS=v; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/; SameSite=None; Secure",
        ]
    );
    assert_eq!(
        set_cookies(Binding::Group, "v", until, now(), false),
        [
            "AWSALBTG=v; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/",
            "AWSALBTGCORS=v; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/; SameSite=None",
        ]
    );
    // Seven days, whatever the stickiness lasts.
    let short = now() + Duration::from_secs(1);
    let application = set_cookies(Binding::Application, "v", short, now(), true);
    assert_eq!(application.len(), 4);
    assert_eq!(application[0], "AWSALBAPP-0=v; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/");
    assert_eq!(application[3], "AWSALBAPP-3=_remove_; Expires=Tue, 27 Feb 2024 11:21:53 GMT; Path=/");
}

#[test]
fn an_applications_cookie_is_known_on_both_ways() {
    assert!(sets_cookie(b"session=1; Path=/", "session") && sets_cookie(b" session =1", "session"));
    assert!(!sets_cookie(b"other=session=1", "session") && !sets_cookie(b"Session=1", "session"));
    let headers = [("Cookie", "a=b; session=1")];
    assert!(has_cookie(&headers.as_slice(), "session") && !has_cookie(&headers.as_slice(), "b"));
}
