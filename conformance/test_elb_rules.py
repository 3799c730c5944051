"""Listeners, certificates, rules, conditions, actions and transforms, through boto3."""

import copy
import subprocess

import pytest

from conftest import refused
from test_elb_balancers import elb, forward, make_balancer, make_group, make_listener  # noqa: F401

FIXED = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "hi"}}]


@pytest.fixture(scope="module")
def certificates(simulated, tmp_path_factory):
    """ARNs of two imported certificates."""
    home = tmp_path_factory.mktemp("certificates")
    def imported(name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                        "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
                       check=True, capture_output=True, cwd=home)
        answer = simulated.client("acm").import_certificate(
            Certificate=(home / f"{name}.crt").read_bytes(), PrivateKey=(home / f"{name}.key").read_bytes())
        return answer["CertificateArn"]
    return [imported("one.example"), imported("two.example")]


@pytest.fixture
def listener(simulated, elb):
    return make_listener(simulated, make_balancer(simulated)["LoadBalancerArn"])["ListenerArn"]


def path(*values):
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def create(elb, listener, priority=1, conditions=None, actions=None, **members):
    return elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions or [path("/a")],
                           Actions=actions or FIXED, **members)["Rules"][0]


def test_listeners_from_first_to_last(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    made = make_listener(simulated, balancer, 80, forward(group), Tags=[{"Key": "a", "Value": "b"}])
    arn = made["ListenerArn"]
    assert arn.startswith(balancer.replace(":loadbalancer/", ":listener/") + "/")
    assert made["DefaultActions"] == [{"Type": "forward", "TargetGroupArn": group, "ForwardConfig": {
        "TargetGroups": [{"TargetGroupArn": group, "Weight": 1}], "TargetGroupStickinessConfig": {"Enabled": False}}}]
    assert elb.describe_listeners(ListenerArns=[arn])["Listeners"] == [made]
    text = refused("DuplicateListener", make_listener, server=simulated, balancer=balancer)
    assert text == f"A listener already exists on this port for this load balancer '{balancer}'"
    for port in [82, 81]:
        make_listener(simulated, balancer, port)
    pages = elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer, PaginationConfig={"PageSize": 2})
    assert [[one["Port"] for one in page["Listeners"]] for page in pages] == [[80, 81], [82]]
    [changed] = elb.modify_listener(ListenerArn=arn, Port=8080, DefaultActions=FIXED)["Listeners"]
    assert (changed["Port"], changed["DefaultActions"]) == (8080, FIXED)
    refused("DuplicateListener", elb.modify_listener, ListenerArn=arn, Port=81)
    elb.delete_listener(ListenerArn=arn)
    refused("ListenerNotFound", elb.delete_listener, ListenerArn=arn)
    refused("ListenerNotFound", elb.describe_listeners, "One or more listeners not found", ListenerArns=[arn])
    refused("ValidationError", elb.describe_listeners, "You must specify either")


@pytest.mark.parametrize("members,code,text", [
    ({"Protocol": "TCP"}, "UnsupportedProtocol", "TCP"),
    ({"Protocol": "GOPHER"}, "ValidationError", "GOPHER"),
    ({"Protocol": "HTTPS"}, "ValidationError", "A certificate must be specified for HTTPS listeners"),
    ({"Port": 0}, "ValidationError", "0"),
    ({"Port": 65536}, "ValidationError", "65536"),
    ({"SslPolicy": "ELBSecurityPolicy-2016-08"}, "ValidationError", "HTTP"),
    ({"AlpnPolicy": ["HTTP2Only"]}, "ValidationError", "ALPN"),
    ({"MutualAuthentication": {"Mode": "verify"}}, "ValidationError", "HTTP"),
    ({"DefaultActions": []}, "ValidationError", "action"),
    ({"DefaultActions": FIXED * 2}, "ValidationError", "order"),
    ({"LoadBalancerArn": "x"}, "ValidationError", "'x' is not a valid load balancer ARN"),
])
def test_bad_listeners_are_refused(simulated, elb, members, code, text):
    client = simulated.client("elbv2", parameter_validation=False)
    balancer = make_balancer(simulated)["LoadBalancerArn"]
    request = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": FIXED, **members}
    refused(code, client.create_listener, text, **request)


def test_https_and_its_certificates(simulated, elb, certificates):
    balancer, [one, two] = make_balancer(simulated)["LoadBalancerArn"], certificates
    https = lambda **members: make_listener(simulated, balancer, 443, Protocol="HTTPS", **members)
    made = https(Certificates=[{"CertificateArn": one}])
    arn = made["ListenerArn"]
    assert made["SslPolicy"] == "ELBSecurityPolicy-2016-08" and made["Certificates"] == [{"CertificateArn": one}]
    assert made["MutualAuthentication"] == {"Mode": "off"}
    elb.delete_listener(ListenerArn=arn)
    refused("SSLPolicyNotFound", https, Certificates=[{"CertificateArn": one}], SslPolicy="none")
    refused("CertificateNotFound", https, Certificates=[{"CertificateArn": one[:-1] + "x"}])
    refused("ValidationError", https, "Up to '1'", Certificates=[{"CertificateArn": one}, {"CertificateArn": two}])
    refused("InvalidConfigurationRequest", https, "Mode=passthrough", Certificates=[{"CertificateArn": one}],
            MutualAuthentication={"Mode": "passthrough"})
    arn = https(Certificates=[{"CertificateArn": one}], SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
                MutualAuthentication={"Mode": "off"})["ListenerArn"]
    added = elb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])["Certificates"]
    assert added == [{"CertificateArn": two, "IsDefault": False}]
    pages = elb.get_paginator("describe_listener_certificates").paginate(ListenerArn=arn, PaginationConfig={"PageSize": 1})
    shown = [certificate for page in pages for certificate in page["Certificates"]]
    assert shown == [{"CertificateArn": one, "IsDefault": True}, {"CertificateArn": two, "IsDefault": False}]
    acm = simulated.client("acm")
    assert acm.describe_certificate(CertificateArn=two)["Certificate"]["InUseBy"] == [balancer]
    refused("ResourceInUseException", acm.delete_certificate, CertificateArn=two)
    refused("OperationNotPermitted", elb.remove_listener_certificates, ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    elb.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    assert acm.describe_certificate(CertificateArn=two)["Certificate"]["InUseBy"] == []
    [changed] = elb.modify_listener(ListenerArn=arn, Certificates=[{"CertificateArn": two}])["Listeners"]
    assert changed["Certificates"] == [{"CertificateArn": two}]
    [plain] = elb.modify_listener(ListenerArn=arn, Protocol="HTTP")["Listeners"]
    assert "SslPolicy" not in plain and not plain.get("Certificates")


def test_groups_of_http2_need_https(simulated, elb, certificates):
    balancer = make_balancer(simulated)["LoadBalancerArn"]
    grpc = make_group(simulated, ProtocolVersion="GRPC")
    text = refused("InvalidConfigurationRequest", make_listener, server=simulated, balancer=balancer, actions=forward(grpc))
    assert text == "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'"
    make_listener(simulated, balancer, 443, forward(grpc), Protocol="HTTPS", Certificates=[{"CertificateArn": certificates[0]}])


def test_listener_attributes(simulated, elb, listener):
    def set_one(key, value):
        answer = elb.modify_listener_attributes(ListenerArn=listener, Attributes=[{"Key": key, "Value": value}])
        return {one["Key"]: one["Value"] for one in answer["Attributes"]}
    key = "routing.http.response.strict_transport_security.header_value"
    assert set_one(key, "max-age=31536000")[key] == "max-age=31536000"
    shown = {one["Key"]: one["Value"] for one in elb.describe_listener_attributes(ListenerArn=listener)["Attributes"]}
    assert shown[key] == "max-age=31536000" and shown["routing.http.response.server.enabled"] == "true" and len(shown) == 11
    refused("ValidationError", set_one, key="tcp.idle_timeout.seconds", value="60")
    refused("ValidationError", set_one, key="routing.http.request.x_amzn_tls_version.header_name", value="X-Tls")
    refused("ValidationError", set_one, key="routing.http.response.x_content_type_options.header_value", value="x")
    refused("ValidationError", set_one, key="nonsense", value="x")


CONDITIONS = [
    {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com", "a.example.org"]}},
    {"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^api[0-9]+\\.example\\.com$"]}},
    path("/img/*", "/static/?.js"),
    {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/v[12]/"]}},
    {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "User-Agent", "Values": ["*Chrome*"]}},
    {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Env", "RegexValues": ["^dev|test$"]}},
    {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET", "HEAD"]}},
    {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}, {"Value": "*beta*"}]}},
    {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8", "2001:db8::/32"]}},
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition(simulated, elb, listener, condition):
    made = create(elb, listener, conditions=[condition])
    shown = copy.deepcopy(made["Conditions"][0])
    if condition["Field"] in ["host-header", "path-pattern"]:
        config = next(value for key, value in condition.items() if key.endswith("Config"))
        for member in ["Values", "RegexValues"]:
            assert shown.pop(member, None) == config.get(member)
    assert shown == condition
    assert elb.describe_rules(RuleArns=[made["RuleArn"]])["Rules"] == [made]


def test_the_old_form_of_conditions(simulated, elb, listener):
    made = create(elb, listener, conditions=[{"Field": "path-pattern", "Values": ["/old/*"]},
                                             {"Field": "host-header", "Values": ["old.example.com"]}])
    assert made["Conditions"] == [
        {"Field": "path-pattern", "Values": ["/old/*"], "PathPatternConfig": {"Values": ["/old/*"]}},
        {"Field": "host-header", "Values": ["old.example.com"], "HostHeaderConfig": {"Values": ["old.example.com"]}}]


@pytest.mark.parametrize("conditions,text", [
    ([{"PathPatternConfig": {"Values": ["/"]}}], "A condition field must be specified"),
    ([{"Field": "cookie", "Values": ["a"]}], "Condition field 'cookie' must be one of"),
    ([{"Field": "path-pattern"}], "value must be specified"),
    ([{"Field": "host-header", "Values": ["a.com"], "HostHeaderConfig": {"Values": ["b.com"]}}],
     "You cannot provide both Values and 'HostHeaderConfig' for a condition of type 'host-header'"),
    ([path("/a", "/a")], "Condition values must be unique"),
    ([path("/a"), path("/b")], "one 'path-pattern' condition"),
    ([path(*(f"/{n}" for n in range(6)))], "A rule can only have '5' condition values"),
    ([path("/*/*/*/*/*/*/*")], "wildcards"),
    ([path("/" + "a" * 128)], "'128' characters"),
    ([path("/a b")], "contains a character that is not valid"),
    ([{"Field": "host-header", "Values": ["nodots"]}], "'.'"),
    ([{"Field": "http-header", "HttpHeaderConfig": {"Values": ["a"]}}], "HttpHeaderName"),
    ([{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "host", "Values": ["a"]}}], "host"),
    ([{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["get"]}}], "get"),
    ([{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.1"]}}], "CIDR"),
    ([{"Field": "path-pattern", "RegexValues": ["("]}], "regular expression"),
    ([{"Field": "path-pattern", "RegexValues": ["a{1000}{1000}{1000}"]}], "regular expression"),
])
def test_bad_conditions(simulated, elb, listener, conditions, text):
    refused("ValidationError", create, text, elb=simulated.client("elbv2", parameter_validation=False), listener=listener,
            conditions=conditions)


def redirect(**config):
    return [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **config}}]


def test_redirects(simulated, elb, listener):
    made = create(elb, listener, actions=redirect(Protocol="HTTPS", Port="443"))
    assert made["Actions"][0]["RedirectConfig"] == {
        "Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}", "StatusCode": "HTTP_301"}
    text = refused("InvalidLoadBalancerAction", create, elb=elb, listener=listener, priority=2, actions=redirect())
    assert text == "The redirect configuration is not valid because it creates a loop."
    for config in [{"Port": "0"}, {"Port": "x"}, {"Path": "no"}, {"Path": "/#{nothing}"}, {"Host": "#{query}"}, {"Protocol": "FTP"},
                   {"StatusCode": "HTTP_308"}]:
        refused("ValidationError", create, elb=elb, listener=listener, priority=2, actions=redirect(**config))


def test_weighted_forwards(simulated, elb, listener):
    groups = [make_group(simulated) for _ in range(2)]
    tuples = [{"TargetGroupArn": groups[0], "Weight": 10}, {"TargetGroupArn": groups[1], "Weight": 0}]
    sticky = {"Enabled": True, "DurationSeconds": 3600}
    config = {"TargetGroups": tuples, "TargetGroupStickinessConfig": sticky}
    made = create(elb, listener, actions=[{"Type": "forward", "ForwardConfig": config, "Order": 1}])
    assert made["Actions"] == [{"Type": "forward", "ForwardConfig": config, "Order": 1}]
    for bad in [{**config, "TargetGroups": [{**tuples[0], "Weight": 1000}]}, {**config, "TargetGroups": tuples[:1] * 2},
                {**config, "TargetGroupStickinessConfig": {"Enabled": True}},
                {**config, "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 604801}}]:
        refused("ValidationError", create, elb=elb, listener=listener, priority=2,
                actions=[{"Type": "forward", "ForwardConfig": bad}])
    gone = groups[0][:-1] + ("0" if groups[0][-1] != "0" else "1")
    assert refused("TargetGroupNotFound", create, elb=elb, listener=listener, priority=2, actions=forward(gone)) \
        == f"Target group '{gone}' not found"


@pytest.mark.parametrize("actions,code,text", [
    ([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "image/png"}}],
     "InvalidLoadBalancerAction", "The ContentType must be one of:"),
    ([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "301"}}], "ValidationError", "301"),
    ([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "x" * 1025}}], "ValidationError", "1024"),
    ([{"Type": "authenticate-oidc"}], "InvalidConfigurationRequest", "authenticate-oidc"),
    ([{"Type": "authenticate-cognito"}], "InvalidConfigurationRequest", "authenticate-cognito"),
    ([{"Type": "jwt-validation"}], "InvalidConfigurationRequest", "jwt-validation"),
    ([{"Type": "forward"}], "ValidationError", "target group ARN"),
    ([{"Type": "nonsense"}], "ValidationError", "nonsense"),
])
def test_bad_actions(simulated, elb, listener, actions, code, text):
    client = simulated.client("elbv2", parameter_validation=False)
    refused(code, create, text, elb=client, listener=listener, actions=actions)


def test_transforms(simulated, elb, listener):
    transforms = [
        {"Type": "host-header-rewrite", "HostHeaderRewriteConfig": {"Rewrites": [{"Regex": "^(.+)$", "Replace": "in-$1"}]}},
        {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/a/(.*)$", "Replace": "/$1"}]}}]
    made = create(elb, listener, Transforms=transforms)
    assert made["Transforms"] == transforms
    arn = made["RuleArn"]
    refused("ValidationError", create, "one transform of each type", elb=elb, listener=listener, priority=2,
            Transforms=transforms[1:] * 2)
    [changed] = elb.modify_rule(RuleArn=arn, ResetTransforms=True)["Rules"]
    assert changed["Transforms"] == []
    [changed] = elb.modify_rule(RuleArn=arn, Transforms=transforms[:1], Conditions=[path("/b")], Actions=redirect(Path="/c"))["Rules"]
    assert changed["Transforms"] == transforms[:1] and changed["Conditions"][0]["Values"] == ["/b"]
    refused("ValidationError", elb.modify_rule, "must be specified", RuleArn=arn)


def test_priorities(simulated, elb, listener):
    arns = [create(elb, listener, priority)["RuleArn"] for priority in [20, 10, 30]]
    shown = lambda: [rule["Priority"] for rule in elb.describe_rules(ListenerArn=listener)["Rules"]]
    assert shown() == ["10", "20", "30", "default"]
    text = refused("PriorityInUse", create, elb=elb, listener=listener, priority=10)
    assert text == "Priority '10' is currently in use"
    pairs = lambda *pairs: elb.set_rule_priorities(RulePriorities=[{"RuleArn": arn, "Priority": at} for arn, at in pairs])
    pairs((arns[0], 10), (arns[1], 20))
    rules = elb.describe_rules(ListenerArn=listener)["Rules"]
    assert [rule["RuleArn"] for rule in rules[:3]] == arns and [rule["IsDefault"] for rule in rules] == [False] * 3 + [True]
    with pytest.raises(elb.exceptions.PriorityInUseException):
        pairs((arns[0], 30))
    pages = elb.get_paginator("describe_rules").paginate(ListenerArn=listener, PaginationConfig={"PageSize": 3})
    assert [len(page["Rules"]) for page in pages] == [3, 1]
    default = rules[3]["RuleArn"]
    refused("OperationNotPermitted", elb.delete_rule, RuleArn=default)
    refused("OperationNotPermitted", elb.modify_rule, RuleArn=default, Actions=FIXED)
    elb.delete_rule(RuleArn=arns[0])
    refused("RuleNotFound", elb.delete_rule, RuleArn=arns[0])
    refused("RuleNotFound", elb.describe_rules, "One or more rules not found", RuleArns=[arns[0]])


def test_a_hundred_rules(simulated, elb, listener):
    for priority in range(1, 101):
        create(elb, listener, priority)
    refused("TooManyRules", create, elb=elb, listener=listener, priority=101)
    assert len(elb.describe_rules(ListenerArn=listener)["Rules"]) == 101
