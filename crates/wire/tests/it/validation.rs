//! Constraints, in the words of each service family.

use aws_ec2::op::{CreateNetworkInterface, DescribeSubnets, DescribeVpcs};
use aws_ecr::op::CreateRepository;
use aws_ecs::op::{RegisterTaskDefinition, RunTask, TagResource};
use aws_iam::op::{CreateRole, TagRole};
use aws_logs::op::{DescribeLogGroups, PutLogEvents};
use http::HeaderMap;
use wire::{Api, DecodeFault, Operation, Parts, Protocol, Shape};

fn decode<O: Operation>(protocol: Protocol, body: &str) -> Result<O::Input, DecodeFault> {
    let headers = HeaderMap::new();
    let parts = Parts { path: "/", query: "", headers: &headers };
    let mut input = O::Input::default();
    wire::decode(protocol, O::DEFINITION, &parts, body.as_bytes(), &mut input)?;
    Ok(input)
}

/// The refusal of a body as `code: message`, or `accepted`.
fn check<O: Operation>(protocol: Protocol, api: &Api, body: &str, expected: &str) {
    let found = match decode::<O>(protocol, body) {
        Ok(_) => String::from("accepted"),
        Err(fault) => fault.fault(api).to_string(),
    };
    assert_eq!(found, expected, "{body}");
}

fn ecs<O: Operation>(body: &str, expected: &str) {
    check::<O>(Protocol::AwsJson11, &aws_ecs::API, body, expected);
}

fn iam<O: Operation>(body: &str, expected: &str) {
    check::<O>(Protocol::Query, &aws_iam::API, body, expected);
}

fn ec2<O: Operation>(body: &str, expected: &str) {
    check::<O>(Protocol::Ec2, &aws_ec2::API, body, expected);
}

#[test]
fn enumerations_name_their_values() {
    ecs::<RunTask>(
        r#"{"taskDefinition":"a","launchType":"x"}"#,
        "InvalidParameterException: 1 validation error detected: Value 'x' at 'launchType' failed to satisfy \
         constraint: Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]",
    );
}

#[test]
fn required_members_are_found_at_any_depth() {
    ecs::<RegisterTaskDefinition>(
        r#"{"containerDefinitions":[{"name":"a","firelensConfiguration":{}},{"firelensConfiguration":{}}]}"#,
        "InvalidParameterException: 3 validation errors detected: \
         Value null at 'containerDefinitions.1.member.firelensConfiguration.type' failed to satisfy constraint: Member must not be null; \
         Value null at 'containerDefinitions.2.member.firelensConfiguration.type' failed to satisfy constraint: Member must not be null; \
         Value null at 'family' failed to satisfy constraint: Member must not be null",
    );
}

#[test]
fn members_of_lists_have_their_index() {
    let tag = |key: &str| format!(r#"{{"resourceArn":"arn","tags":[{{"key":"a"}},{{"key":"{key}"}}]}}"#);
    ecs::<TagResource>(&tag("b"), "accepted");
    ecs::<TagResource>(
        &tag(""),
        "InvalidParameterException: 1 validation error detected: Value '' at 'tags.2.member.key' failed to satisfy \
         constraint: Member must have length greater than or equal to 1",
    );
    ecs::<TagResource>(&tag(&"ä".repeat(128)), "accepted");
    let long = "ä".repeat(129);
    ecs::<TagResource>(
        &tag(&long),
        &format!(
            "InvalidParameterException: 1 validation error detected: Value '{long}' at 'tags.2.member.key' failed to \
             satisfy constraint: Member must have length less than or equal to 128"
        ),
    );
}

#[test]
fn query_services_have_their_own_code() {
    iam::<CreateRole>("Action=CreateRole&RoleName=a&AssumeRolePolicyDocument=%7B%7D", "accepted");
    iam::<CreateRole>(
        "Action=CreateRole&AssumeRolePolicyDocument=%7B%7D&MaxSessionDuration=10",
        "ValidationError: 2 validation errors detected: Value '10' at 'maxSessionDuration' failed to satisfy \
         constraint: Member must have value greater than or equal to 3600; Value null at 'roleName' failed to \
         satisfy constraint: Member must not be null",
    );
    iam::<CreateRole>(
        "RoleName=a%2Fb&AssumeRolePolicyDocument=x",
        "ValidationError: 1 validation error detected: Value 'a/b' at 'roleName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [\\w+=,.@-]+",
    );
    iam::<TagRole>("RoleName=a&Tags.member.1.Key=k&Tags.member.1.Value=v", "accepted");
    iam::<TagRole>(
        "RoleName=a&Tags.member.1.Key=k&Tags.member.3.Value=v",
        "ValidationError: 2 validation errors detected: Value null at 'tags.1.member.value' failed to satisfy \
         constraint: Member must not be null; Value null at 'tags.2.member.key' failed to satisfy constraint: \
         Member must not be null",
    );
}

#[test]
fn forms_that_are_none_are_malformed() {
    iam::<TagRole>("RoleName=%zz", "MalformedInput: A percent sign without two hex digits");
    iam::<TagRole>("RoleName=%ff", "MalformedInput: A parameter that is not UTF-8");
    iam::<TagRole>("RoleName=a&Tags.member.x.Key=k", "MalformedInput: x is not the number of a list's item");
    iam::<TagRole>(&"a&".repeat(20_001), "MalformedInput: More than 20000 parameters");
    iam::<CreateRole>(
        "RoleName=a&AssumeRolePolicyDocument=x&MaxSessionDuration=1h",
        "MalformedInput: Value (1h) for MaxSessionDuration cannot be converted to Integer",
    );
}

#[test]
fn parameters_are_found_whatever_stands_beside_them() {
    let body = "Action=TagRole&RoleName=a&RoleName-x=b&RoleNameX=c&RoleName.x=d&Tags.member.10.Key=j&\
        Tags.member.2.Key=b&Tags.member.10.Value=10&Tags.member.2.Value=2&Tags-x=1&Tags.member=&Tags.memberx.1=a&\
        Tags.member.2.Value=3";
    let request = decode::<TagRole>(Protocol::Query, body).unwrap();
    assert_eq!(request.role_name, "a");
    let tags: Vec<(&str, &str)> =
        request.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
    assert_eq!(tags, [("b", "3"), ("j", "10")]);
}

#[test]
fn names_that_nest_deeply_cost_nothing() {
    let deep = format!(
        "RoleName=a&Tags.member.1.Key=k&Tags.member.1.Value=v&Tags.member.1.{}=b",
        ["a"; 100_000].join(".")
    );
    iam::<TagRole>(&deep, "accepted");
}

#[test]
fn a_body_of_many_empty_structures_is_refused() {
    let body = |count: usize| {
        format!(r#"{{"family":"a","containerDefinitions":[{}]}}"#, vec!["{}"; count].join(","))
    };
    ecs::<RegisterTaskDefinition>(&body(19_999), "accepted");
    ecs::<RegisterTaskDefinition>(&body(20_000), "SerializationException: more than 20000 structures");
}

#[test]
fn ec2_has_its_own_sentences() {
    ec2::<DescribeVpcs>(
        "Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&Filter.1.Name=a&Filter.1.Value.1=b",
        "accepted",
    );
    ec2::<CreateNetworkInterface>(
        "Action=CreateNetworkInterface",
        "MissingParameter: The request must contain the parameter subnetId",
    );
    ec2::<DescribeSubnets>("Subnets.1=a", "UnknownParameter: The parameter Subnets is not recognized");
}

#[test]
fn lists_show_the_scalars_that_break_them() {
    let schema = aws_ecs::RunTaskRequest::default().schema();
    assert_eq!(schema.name, "RunTaskRequest");
    let body =
        r#"{"taskDefinition":"a","capacityProviderStrategy":[{"capacityProvider":"c","weight":1001}]}"#;
    ecs::<RunTask>(
        body,
        "InvalidParameterException: 1 validation error detected: Value '1001' at \
         'capacityProviderStrategy.1.member.weight' failed to satisfy constraint: Member must have value less than \
         or equal to 1000",
    );
}

#[test]
fn ecr_has_its_own_sentences() {
    let check =
        |body, expected| check::<CreateRepository>(Protocol::AwsJson11, &aws_ecr::API, body, expected);
    check(r#"{"repositoryName":"a/b"}"#, "accepted");
    check(
        r#"{"repositoryName":"a"}"#,
        "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must have \
         length greater than or equal to 2'",
    );
    check(
        r#"{"repositoryName":"Team/web"}"#,
        "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must \
         satisfy regular expression '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*''",
    );
    check(
        "{}",
        "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must not be null'",
    );
}

#[test]
fn logs_words_a_pattern_before_a_length() {
    check::<DescribeLogGroups>(
        Protocol::AwsJson11,
        &aws_logs::API,
        r#"{"logGroupNamePrefix":""}"#,
        "InvalidParameterException: 2 validation errors detected: Value '' at 'logGroupNamePrefix' failed to \
         satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+; Value '' at \
         'logGroupNamePrefix' failed to satisfy constraint: Member must have length greater than or equal to 1",
    );
    check::<PutLogEvents>(
        Protocol::AwsJson11,
        &aws_logs::API,
        r#"{"logGroupName":"a","logStreamName":"b","logEvents":[]}"#,
        "InvalidParameterException: 1 validation error detected: Value '[]' at 'logEvents' failed to satisfy \
         constraint: Member must have length greater than or equal to 1",
    );
}
