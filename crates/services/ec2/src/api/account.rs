//! Attributes of an account in a region.

use aws_ec2::{
    AccountAttribute, AccountAttributeValue, DescribeAccountAttributesRequest,
    DescribeAccountAttributesResult,
};
use base::Fault;
use service::View;

use crate::faults;
use crate::state::default::Home;

/// AWS: the quotas are a new account's.
pub fn describe(
    view: &View<'_>,
    request: DescribeAccountAttributesRequest,
) -> Result<DescribeAccountAttributesResult, Fault> {
    let all = [
        ("supported-platforms", String::from("VPC")),
        ("vpc-max-security-groups-per-interface", String::from("5")),
        ("max-elastic-ips", String::from("5")),
        ("max-instances", String::from("20")),
        ("vpc-max-elastic-ips", String::from("5")),
        ("default-vpc", Home::of(view.caller).vpc()),
    ];
    let names = request.attribute_names.unwrap_or_default();
    if let Some(name) = names.iter().find(|name| !all.iter().any(|(known, _)| known == name)) {
        return Err(faults::invalid(format_args!("The attribute '{name}' is invalid")));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let asked =
        all.into_iter().filter(|(name, _)| names.is_empty() || names.iter().any(|asked| asked == name));
    let attributes = asked.map(|(name, value)| AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: Some(vec![AccountAttributeValue { attribute_value: Some(value) }]),
    });
    Ok(DescribeAccountAttributesResult { account_attributes: Some(attributes.collect()) })
}
