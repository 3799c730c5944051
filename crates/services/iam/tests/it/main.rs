//! Requests in, answers out, over the memory store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod policies;
mod roles;

use std::time::Duration;

use aws_iam::{CreateRoleRequest, Role, op};
use base::clock::Clock;
use base::{AccountId, Fault, Region};
use service::{Caller, Origin, Platform, PlatformBuilder, Principal};
use store::{Memory, Store};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

struct Scene(Platform);

impl Scene {
    fn new() -> Self {
        let builder = PlatformBuilder::default().with(service_iam::service());
        let store = Store::open(Memory::default().open(), builder.kinds()).unwrap();
        Scene(builder.build(store, Clock::new(Duration::ZERO), 7))
    }

    async fn call<O: wire::Operation>(&self, request: O::Input) -> Result<O::Output, Fault> {
        self.0.call::<O>(caller("us-east-1"), request).await
    }

    /// The code of the fault that the request is answered with, and its text.
    async fn fault<O: wire::Operation>(&self, request: O::Input) -> (String, String) {
        match self.call::<O>(request).await {
            Ok(_) => panic!("{} was taken", O::DEFINITION.name),
            Err(fault) => (fault.code.into_owned(), fault.message),
        }
    }

    async fn role(&self, name: &str) -> Role {
        self.call::<op::CreateRole>(role(name)).await.unwrap().role
    }
}

fn role(name: &str) -> CreateRoleRequest {
    CreateRoleRequest {
        role_name: name.into(),
        assume_role_policy_document: TRUST.into(),
        ..Default::default()
    }
}

fn caller(region: &str) -> Caller {
    Caller {
        account: AccountId::default_account(),
        region: Region::parse(region).unwrap(),
        principal: Principal::Root,
        origin: Origin::Operator,
        host: None,
        request_id: String::from("test"),
    }
}
