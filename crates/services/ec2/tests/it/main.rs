//! Requests in, answers out, on the memory store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod default_vpc;
mod instances;
mod interfaces;
mod lists;
mod networks;
mod security_groups;

use base::clock::Clock;
use base::{AccountId, Fault, Region};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use store::{Memory, Store};

/// A platform with EC2 alone, and a runtime to wait for it.
struct Bench {
    platform: Platform,
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let builder = PlatformBuilder::default().with(service_ec2::service());
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Bench { platform: builder.build(store, Clock::default(), 7), tokio }
    }

    fn ask<O: wire::Operation>(&self, input: O::Input) -> Result<O::Output, Fault> {
        self.ask_as::<O>(&customer(), input)
    }

    fn ask_as<O: wire::Operation>(&self, caller: &Caller, input: O::Input) -> Result<O::Output, Fault> {
        self.tokio.block_on(self.platform.call::<O>(caller.clone(), input))
    }
}

fn customer() -> Caller {
    Caller {
        account: AccountId::default_account(),
        region: Region::default_region(),
        principal: Principal::Root,
        origin: Origin::Operator,
        host: None,
        request_id: "r".into(),
    }
}

fn ecs() -> Caller {
    Caller::platform("ecs.amazonaws.com", AccountId::default_account(), Region::default_region())
}

/// Code and text of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Fault>) -> (String, String) {
    let fault = answer.unwrap_err();
    (fault.code.into_owned(), fault.message)
}

fn filter(name: &str, values: &[&str]) -> aws_ec2::Filter {
    let values = values.iter().map(ToString::to_string).collect();
    aws_ec2::Filter { name: Some(name.into()), values: Some(values) }
}
