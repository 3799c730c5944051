//! CreateRule, DescribeRules, ModifyRule, DeleteRule, SetRulePriorities: conditions, actions,
//! transforms, priorities.

use aws_elbv2 as aws;
use aws_elbv2::op;
use base::Fault;
use core_routing::{Condition, Pattern};

use crate::world::{World, fixed, forward, path_is, redirect, refused, rule, strings};

struct Bench {
    world: World,
    balancer: String,
    group: String,
    listener: String,
}

impl Bench {
    fn new() -> Bench {
        let world = World::new();
        let (balancer, group) = (world.balancer("web"), world.group("g"));
        let listener = world.listener(&balancer, 80, &group);
        Bench { world, balancer, group, listener }
    }

    fn create(&self, priority: i32, condition: aws::RuleCondition) -> Result<aws::Rule, Fault> {
        self.with(rule(&self.listener, priority, vec![condition], fixed("200")))
    }

    fn act(&self, action: aws::Action) -> Result<aws::Rule, Fault> {
        let made = self.with(rule(&self.listener, 1, vec![path_is("/act")], action))?;
        let rule_arn = made.rule_arn.clone().unwrap();
        self.world.call::<op::DeleteRule>(aws::DeleteRuleInput { rule_arn }).unwrap();
        Ok(made)
    }

    fn with(&self, request: aws::CreateRuleInput) -> Result<aws::Rule, Fault> {
        self.world.call::<op::CreateRule>(request).map(|answer| answer.rules.unwrap().remove(0))
    }
}

fn of(field: &str) -> aws::RuleCondition {
    aws::RuleCondition { field: Some(field.into()), ..Default::default() }
}

fn host(values: &[&str]) -> aws::RuleCondition {
    let values = Some(strings(values));
    let config = aws::HostHeaderConditionConfig { values, regex_values: None };
    aws::RuleCondition { host_header_config: Some(config), ..of("host-header") }
}

fn path(values: &[&str]) -> aws::RuleCondition {
    let values = Some(strings(values));
    let config = aws::PathPatternConditionConfig { values, regex_values: None };
    aws::RuleCondition { path_pattern_config: Some(config), ..of("path-pattern") }
}

fn header(name: &str, values: &[&str]) -> aws::RuleCondition {
    let config = aws::HttpHeaderConditionConfig {
        http_header_name: Some(name.into()),
        values: Some(strings(values)),
        regex_values: None,
    };
    aws::RuleCondition { http_header_config: Some(config), ..of("http-header") }
}

fn method(values: &[&str]) -> aws::RuleCondition {
    let config = aws::HttpRequestMethodConditionConfig { values: Some(strings(values)) };
    aws::RuleCondition { http_request_method_config: Some(config), ..of("http-request-method") }
}

fn query(pairs: &[(Option<&str>, &str)]) -> aws::RuleCondition {
    let pair = |(key, value): &(Option<&str>, &str)| aws::QueryStringKeyValuePair {
        key: key.map(Into::into),
        value: Some(String::from(*value)),
    };
    let config = aws::QueryStringConditionConfig { values: Some(pairs.iter().map(pair).collect()) };
    aws::RuleCondition { query_string_config: Some(config), ..of("query-string") }
}

fn source(values: &[&str]) -> aws::RuleCondition {
    let config = aws::SourceIpConditionConfig { values: Some(strings(values)), ip_address_type: None };
    aws::RuleCondition { source_ip_config: Some(config), ..of("source-ip") }
}

fn regex(value: &str) -> aws::RuleCondition {
    aws::RuleCondition { regex_values: Some(strings(&[value])), ..of("path-pattern") }
}

#[test]
fn every_condition_is_kept_and_shown_as_aws_shows_it() {
    let bench = Bench::new();
    let legacy = bench.create(1, path_is("/img/*")).unwrap().conditions.unwrap().remove(0);
    assert_eq!(legacy.values, Some(strings(&["/img/*"])));
    assert_eq!(legacy.path_pattern_config.unwrap().values, Some(strings(&["/img/*"])));
    let hosts =
        bench.create(2, host(&["*.example.com", "api.example.org"])).unwrap().conditions.unwrap().remove(0);
    assert_eq!(hosts.values, hosts.host_header_config.unwrap().values);
    let conditions = [
        header("X-Env", &["*test*", "dev"]),
        method(&["GET", "X-CUSTOM_X"]),
        query(&[(Some("v"), "1"), (None, "*beta*")]),
        source(&["10.0.0.0/8", "2001:db8::/32"]),
        aws::RuleCondition {
            host_header_config: Some(aws::HostHeaderConditionConfig {
                regex_values: Some(strings(&["^a+$"])),
                values: None,
            }),
            ..of("host-header")
        },
    ];
    for (nth, condition) in conditions.into_iter().enumerate() {
        let shown = bench.create(10 + nth as i32, condition.clone()).unwrap().conditions.unwrap().remove(0);
        let plain = aws::RuleCondition { values: None, regex_values: None, ..shown };
        assert_eq!(plain, condition);
    }
    assert!(bench.create(30, regex("^/v[12]/")).is_ok());
    let table = bench.world.table(&bench.balancer);
    let rules = &table.listeners[0].rules;
    assert_eq!(rules.len(), 8);
    assert_eq!(rules[0].conditions, [Condition::Path(vec![Pattern::Wildcard("/img/*".into())])]);
    assert_eq!(rules[7].conditions, [Condition::Path(vec![Pattern::Regex("^/v[12]/".into())])]);
}

#[test]
fn bad_conditions_are_refused() {
    let bench = Bench::new();
    let long = format!("/{}", "a".repeat(128));
    let both = aws::RuleCondition { values: Some(strings(&["a.com"])), ..host(&["b.com"]) };
    for (condition, text) in [
        (aws::RuleCondition::default(), "A condition field must be specified"),
        (of("cookie"), "Condition field 'cookie' must be one of"),
        (of("path-pattern"), "value must be specified"),
        (of("http-header"), "HttpHeaderName"),
        (of("source-ip"), "value must be specified"),
        (both, "You cannot provide both Values and 'HostHeaderConfig' for a condition of type 'host-header'"),
        (
            aws::RuleCondition { host_header_config: host(&["a.com"]).host_header_config, ..path_is("/a") },
            "You cannot provide 'HostHeaderConfig'",
        ),
        (
            aws::RuleCondition { values: Some(strings(&["GET"])), ..of("http-request-method") },
            "You cannot provide Values",
        ),
        (path_is(""), "must not be empty"),
        (path_is("/a b"), "Condition value '/a b' contains a character that is not valid"),
        (path_is(&long), "cannot be longer than '128' characters"),
        (path(&["/a", "/a"]), "Condition values must be unique"),
        (path(&["/1", "/2", "/3", "/4", "/5", "/6"]), "A rule can only have '5' condition values"),
        (path(&["/*/*/*/*", "/*/*/*"]), "'6' condition wildcards"),
        (host(&["localhost"]), "at least one '.'"),
        (host(&["10.0.0.1"]), "only letters"),
        (host(&["a_b.com"]), "not valid"),
        (header("Host", &["a"]), "host-header"),
        (header("X Env", &["a"]), "not valid"),
        (header(&"a".repeat(41), &["a"]), "'40' characters"),
        (header("X-Env", &[]), "value must be specified"),
        (method(&["get"]), "'get'"),
        (method(&["GET*"]), "'GET*'"),
        (query(&[(Some("k"), "")]), "must not be empty"),
        (query(&[(Some("k"), "v"), (Some("k"), "v")]), "unique"),
        (source(&["10.0.0.1"]), "CIDR"),
        (source(&["10.0.0.0/33"]), "CIDR"),
        (source(&["255.255.255.255/32"]), "CIDR"),
        (source(&["nonsense/8"]), "CIDR"),
        (
            aws::RuleCondition { regex_values: Some(strings(&["a"])), ..method(&["GET"]) },
            "provide RegexValues",
        ),
        (regex("("), "regular expression '(' is not valid"),
        (regex(&long), "'128' characters"),
        (regex("(?=look)"), "is not valid"),
        (
            aws::RuleCondition { regex_values: Some(strings(&["a"])), ..path_is("/a") },
            "both Values and RegexValues",
        ),
    ] {
        refused(bench.create(1, condition), "ValidationError", text);
    }
    let two = |first, second| bench.with(rule(&bench.listener, 1, vec![first, second], fixed("200")));
    refused(two(path_is("/a"), path_is("/b")), "ValidationError", "only have one 'path-pattern' condition");
    refused(
        two(path(&["/1", "/2", "/3"]), header("X", &["1", "2", "3"])),
        "ValidationError",
        "'5' condition values",
    );
    two(header("X", &["1"]), header("Y", &["1"])).unwrap();
    let none = rule(&bench.listener, 2, Vec::new(), fixed("200"));
    refused(bench.with(none), "ValidationError", "A condition must be specified");
}

fn to(group: &str, weight: Option<i32>) -> aws::TargetGroupTuple {
    aws::TargetGroupTuple { target_group_arn: Some(group.into()), weight }
}

fn weighted(
    tuples: Vec<aws::TargetGroupTuple>,
    sticky: Option<aws::TargetGroupStickinessConfig>,
) -> aws::Action {
    let config =
        aws::ForwardActionConfig { target_groups: Some(tuples), target_group_stickiness_config: sticky };
    aws::Action { r#type: "forward".into(), forward_config: Some(config), ..Default::default() }
}

fn sticky(enabled: bool, duration: Option<i32>) -> Option<aws::TargetGroupStickinessConfig> {
    Some(aws::TargetGroupStickinessConfig { enabled: Some(enabled), duration_seconds: duration })
}

#[test]
fn forwards_have_weights_and_stickiness() {
    let bench = Bench::new();
    let (one, two) = (bench.group.clone(), bench.world.group("two"));
    let action = weighted(vec![to(&one, Some(0)), to(&two, Some(999))], sticky(true, Some(60)));
    let shown = bench.act(action).unwrap().actions.unwrap().remove(0);
    assert_eq!(shown.target_group_arn, None);
    let config = shown.forward_config.unwrap();
    assert_eq!(config.target_groups.unwrap(), [to(&one, Some(0)), to(&two, Some(999))]);
    assert_eq!(config.target_group_stickiness_config, sticky(true, Some(60)));
    let both = aws::Action { target_group_arn: Some(one.clone()), ..weighted(vec![to(&one, None)], None) };
    assert_eq!(bench.act(both).unwrap().actions.unwrap()[0].target_group_arn.as_ref(), Some(&one));
    let refuse = |action, text: &str| refused(bench.act(action), "ValidationError", text);
    refuse(weighted(vec![to(&one, Some(1000))], None), "from 0 to 999");
    refuse(weighted(vec![to(&one, Some(-1))], None), "from 0 to 999");
    refuse(weighted(vec![to(&one, None), to(&one, None)], None), "more than once");
    refuse(weighted(vec![to(&one, None)], sticky(true, None)), "must be specified");
    refuse(weighted(vec![to(&one, None)], sticky(true, Some(0))), "from 1 to 604800");
    refuse(weighted(vec![to(&one, None)], sticky(false, Some(604_801))), "from 1 to 604800");
    refuse(weighted(Vec::new(), None), "A target group ARN must be specified");
    let groups: Vec<_> = (0..6).map(|n| to(&bench.world.group(&format!("n{n}")), None)).collect();
    refuse(weighted(groups, None), "at most '5'");
    let other = aws::Action { target_group_arn: Some(two), ..weighted(vec![to(&one, None)], None) };
    refuse(other, "only one in ForwardConfig");
}

fn leads(change: impl FnOnce(&mut aws::RedirectActionConfig)) -> aws::Action {
    let mut config = aws::RedirectActionConfig { status_code: "HTTP_301".into(), ..Default::default() };
    change(&mut config);
    redirect(config)
}

#[test]
fn redirects_change_something_and_name_what_there_is() {
    let bench = Bench::new();
    let shown = bench.act(leads(|to| to.protocol = Some("HTTPS".into()))).unwrap();
    let config = shown.actions.unwrap().remove(0).redirect_config.unwrap();
    assert_eq!(config.path.as_deref(), Some("/#{path}"));
    assert_eq!((config.host.as_deref(), config.port.as_deref()), (Some("#{host}"), Some("#{port}")));
    assert_eq!((config.query.as_deref(), config.status_code.as_str()), (Some("#{query}"), "HTTP_301"));
    bench.act(leads(|to| to.path = Some("/#{host}/#{port}/#{path}".into()))).unwrap();
    let text = "The redirect configuration is not valid because it creates a loop.";
    refused(bench.act(leads(|_| {})), "InvalidLoadBalancerAction", text);
    refused(bench.act(leads(|to| to.port = Some("80".into()))), "InvalidLoadBalancerAction", text);
    refused(bench.act(leads(|to| to.query = Some("a=1".into()))), "InvalidLoadBalancerAction", text);
    for (action, text) in [
        (leads(|to| to.port = Some("0".into())), "redirect port '0'"),
        (leads(|to| to.port = Some("http".into())), "redirect port 'http'"),
        (leads(|to| to.path = Some("a".into())), "must begin with a '/'"),
        (leads(|to| to.path = Some("/#{query}".into())), "can only contain the keywords"),
        (leads(|to| to.host = Some("#{path}.com".into())), "can only contain the keywords #{host}"),
        (leads(|to| to.protocol = Some("FTP".into())), "FTP"),
        (leads(|to| to.status_code = "HTTP_307".into()), "HTTP_307"),
        (leads(|to| to.host = Some("a".repeat(129))), "129"),
    ] {
        let fault = bench.act(action).unwrap_err();
        assert_eq!(fault.code, "ValidationError", "{fault}");
        assert!(fault.message.contains(text) || text == "129", "{fault}");
    }
}

#[test]
fn fixed_answers_and_others() {
    let bench = Bench::new();
    let answer = |status: &str, kind: Option<&str>, body: Option<String>| aws::Action {
        r#type: "fixed-response".into(),
        fixed_response_config: Some(aws::FixedResponseActionConfig {
            status_code: status.into(),
            content_type: kind.map(Into::into),
            message_body: body,
        }),
        ..Default::default()
    };
    bench.act(answer("503", Some("text/html"), Some("x".repeat(1024)))).unwrap();
    refused(bench.act(answer("302", None, None)), "ValidationError", "302");
    refused(bench.act(answer("abc", None, None)), "ValidationError", "abc");
    refused(bench.act(answer("200", None, Some("x".repeat(1025)))), "ValidationError", "1024");
    refused(
        bench.act(answer("200", Some("image/png"), None)),
        "InvalidLoadBalancerAction",
        "The ContentType must be one of:'text/html', 'application/json', 'application/javascript', 'text/css', \
         'text/plain'",
    );
    let kind = |kind: &str| aws::Action { r#type: kind.into(), ..Default::default() };
    for name in ["authenticate-oidc", "authenticate-cognito", "jwt-validation"] {
        refused(bench.act(kind(name)), "InvalidConfigurationRequest", name);
    }
    refused(bench.act(kind("teapot")), "ValidationError", "teapot");
    refused(bench.act(kind("redirect")), "ValidationError", "RedirectConfig");
    refused(bench.act(kind("fixed-response")), "ValidationError", "FixedResponseConfig");
    refused(bench.act(kind("forward")), "ValidationError", "target group ARN");
    let mixed = aws::Action { target_group_arn: Some(bench.group.clone()), ..fixed("200") };
    refused(bench.act(mixed), "InvalidLoadBalancerAction", "'TargetGroupArn' cannot be specified");
    let several = aws::CreateRuleInput {
        actions: vec![
            aws::Action { order: Some(1), ..forward(&bench.group) },
            aws::Action { order: Some(2), ..fixed("200") },
        ],
        ..rule(&bench.listener, 1, vec![path_is("/a")], fixed("200"))
    };
    refused(bench.with(several), "InvalidLoadBalancerAction", "exactly one");
}

fn transform(kind: &str, regex: &str, replace: &str) -> aws::RuleTransform {
    let rewrites = Some(vec![aws::RewriteConfig { regex: regex.into(), replace: replace.into() }]);
    match kind {
        "host-header-rewrite" => aws::RuleTransform {
            r#type: kind.into(),
            host_header_rewrite_config: Some(aws::HostHeaderRewriteConfig { rewrites }),
            url_rewrite_config: None,
        },
        _ => aws::RuleTransform {
            r#type: kind.into(),
            host_header_rewrite_config: None,
            url_rewrite_config: Some(aws::UrlRewriteConfig { rewrites }),
        },
    }
}

#[test]
fn transforms_are_kept_modified_and_reset() {
    let bench = Bench::new();
    let with = |transforms| {
        let request = rule(&bench.listener, 1, vec![path_is("/a")], forward(&bench.group));
        bench.with(aws::CreateRuleInput { transforms: Some(transforms), ..request })
    };
    let host = transform("host-header-rewrite", "^(.*)$", "x-$1");
    let url = transform("url-rewrite", "^/a/(.*)$", "/$1");
    refused(with(vec![url.clone(), url.clone()]), "ValidationError", "one transform of each type");
    refused(with(vec![transform("url-rewrite", "(", "")]), "ValidationError", "not valid");
    refused(with(vec![transform("url-rewrite", &"a".repeat(1025), "")]), "ValidationError", "1024");
    refused(with(vec![transform("nonsense", "a", "b")]), "ValidationError", "nonsense");
    let empty = aws::RuleTransform { r#type: "url-rewrite".into(), ..Default::default() };
    refused(with(vec![empty]), "ValidationError", "exactly one rewrite");
    let made = with(vec![host.clone(), url.clone()]).unwrap();
    assert_eq!(made.transforms, Some(vec![host, url.clone()]));
    assert_eq!(bench.world.table(&bench.balancer).listeners[0].rules[0].rewrites.len(), 2);
    let arn = made.rule_arn.unwrap();
    let modify = |request: aws::ModifyRuleInput| {
        let request = aws::ModifyRuleInput { rule_arn: arn.clone(), ..request };
        bench.world.call::<op::ModifyRule>(request).map(|answer| answer.rules.unwrap().remove(0))
    };
    let one = aws::ModifyRuleInput { transforms: Some(vec![url.clone()]), ..Default::default() };
    assert_eq!(modify(one.clone()).unwrap().transforms.unwrap().len(), 1);
    refused(
        modify(aws::ModifyRuleInput { reset_transforms: Some(true), ..one }),
        "ValidationError",
        "together",
    );
    let reset = aws::ModifyRuleInput { reset_transforms: Some(true), ..Default::default() };
    assert_eq!(modify(reset).unwrap().transforms, Some(Vec::new()));
    refused(modify(Default::default()), "ValidationError", "Either conditions or actions must be specified");
    let changed = aws::ModifyRuleInput {
        conditions: Some(vec![path_is("/b")]),
        actions: Some(vec![fixed("404")]),
        ..Default::default()
    };
    let changed = modify(changed).unwrap();
    assert_eq!(changed.conditions.unwrap()[0].values, Some(strings(&["/b"])));
    assert_eq!(changed.actions.unwrap()[0].r#type, "fixed-response");
}

#[test]
fn rules_are_in_the_order_of_their_priorities() {
    let bench = Bench::new();
    let arns: Vec<_> = [30, 10, 20]
        .map(|priority| bench.create(priority, path_is(&format!("/{priority}"))).unwrap().rule_arn.unwrap())
        .to_vec();
    refused(bench.create(10, path_is("/x")), "PriorityInUse", "Priority '10' is currently in use");
    refused(bench.create(0, path_is("/x")), "ValidationError", "riority");
    refused(bench.create(50_001, path_is("/x")), "ValidationError", "riority");
    let shown = || {
        let request =
            aws::DescribeRulesInput { listener_arn: Some(bench.listener.clone()), ..Default::default() };
        let all = bench.world.call::<op::DescribeRules>(request).unwrap().rules.unwrap();
        all.into_iter().map(|rule| (rule.priority.unwrap(), rule.is_default.unwrap())).collect::<Vec<_>>()
    };
    let last = (String::from("default"), true);
    let plain = |priority: &str| (String::from(priority), false);
    assert_eq!(shown(), [plain("10"), plain("20"), plain("30"), last.clone()]);
    let set = |pairs: &[(usize, i32)]| {
        let pair = |(nth, priority): &(usize, i32)| aws::RulePriorityPair {
            rule_arn: Some(arns[*nth].clone()),
            priority: Some(*priority),
        };
        let rule_priorities = pairs.iter().map(pair).collect();
        bench.world.call::<op::SetRulePriorities>(aws::SetRulePrioritiesInput { rule_priorities })
    };
    set(&[(0, 10), (1, 30)]).unwrap();
    let table = bench.world.table(&bench.balancer);
    assert_eq!(
        table.listeners[0].rules.iter().map(|rule| rule.arn.to_string()).collect::<Vec<_>>(),
        [arns[0].clone(), arns[2].clone(), arns[1].clone()]
    );
    refused(set(&[(0, 20)]), "PriorityInUse", "'20'");
    refused(set(&[(0, 5), (1, 5)]), "ValidationError", "Priority '5' was provided multiple times");
    refused(set(&[(0, 5), (0, 6)]), "ValidationError", "multiple times");
    refused(set(&[]), "ValidationError", "At least one");
    assert_eq!(shown(), [plain("10"), plain("20"), plain("30"), last]);
}

#[test]
fn the_default_rule_stays() {
    let bench = Bench::new();
    let request =
        aws::DescribeRulesInput { listener_arn: Some(bench.listener.clone()), ..Default::default() };
    let default = bench.world.call::<op::DescribeRules>(request).unwrap().rules.unwrap().remove(0);
    assert_eq!((default.conditions, default.is_default), (Some(Vec::new()), Some(true)));
    let arn = default.rule_arn.unwrap();
    let delete = aws::DeleteRuleInput { rule_arn: arn.clone() };
    refused(bench.world.call::<op::DeleteRule>(delete), "OperationNotPermitted", "cannot be deleted");
    let modify = aws::ModifyRuleInput {
        rule_arn: arn.clone(),
        actions: Some(vec![fixed("200")]),
        ..Default::default()
    };
    refused(bench.world.call::<op::ModifyRule>(modify), "OperationNotPermitted", "cannot be modified");
    let pair = aws::RulePriorityPair { rule_arn: Some(arn.clone()), priority: Some(1) };
    let set = aws::SetRulePrioritiesInput { rule_priorities: vec![pair] };
    refused(bench.world.call::<op::SetRulePriorities>(set), "OperationNotPermitted", "default rule");
    let by_arn = aws::DescribeRulesInput { rule_arns: Some(vec![arn]), ..Default::default() };
    assert_eq!(bench.world.call::<op::DescribeRules>(by_arn).unwrap().rules.unwrap().len(), 1);
    refused(
        bench.world.call::<op::DescribeRules>(Default::default()),
        "ValidationError",
        "You must specify either listener rule ARNs or a listener ARN",
    );
}

#[test]
fn a_balancer_has_a_hundred_rules() {
    let bench = Bench::new();
    for priority in 1..=100 {
        bench.create(priority, path_is("/a")).unwrap();
    }
    refused(bench.create(101, path_is("/a")), "TooManyRules", "100");
}

#[test]
fn a_balancer_has_a_hundred_groups() {
    let bench = Bench::new();
    // The listener's own is the first.
    let groups: Vec<_> = (1..=100).map(|nth| bench.world.group(&format!("g{nth}"))).collect();
    let five = |nth: usize| groups[nth * 5..].iter().take(5).map(|arn| to(arn, None)).collect();
    let forward = |nth| rule(&bench.listener, nth as i32 + 1, vec![path_is("/a")], weighted(five(nth), None));
    for nth in 0..19 {
        bench.with(forward(nth)).unwrap();
    }
    let code = "TooManyUniqueTargetGroupsPerLoadBalancer";
    refused(bench.with(forward(19)), code, "of type 'application': [100]");
    // Groups that are among them already are no further ones.
    bench.with(rule(&bench.listener, 50, vec![path_is("/b")], weighted(five(0), None))).unwrap();
}
