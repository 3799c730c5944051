"""CloudWatch Logs: groups, streams, events, both ways."""

import time

import pytest

from conftest import refused


@pytest.fixture
def logs(simulated, request):
    """An account of the test's own, with the stream /app web in it."""
    number = sum(map(ord, request.node.name)) % 10**9
    client = simulated.client("logs", account=f"6{number:011}")
    client.create_log_group(logGroupName="/app")
    client.create_log_stream(logGroupName="/app", logStreamName="web")
    return client


def now():
    return int(time.time() * 1000)


def put(logs, *messages, at=None, group="/app", stream="web"):
    at = at or now()
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
        {"timestamp": at + n, "message": message} for n, message in enumerate(messages)])


def test_groups_and_streams(simulated):
    logs = simulated.client("logs", account="600000000001")
    logs.create_log_group(logGroupName="/a/b", tags={"team": "x"})
    refused("ResourceAlreadyExistsException", logs.create_log_group, "The specified log group already exists", logGroupName="/a/b")
    logs.create_log_group(logGroupName="/a/c")
    logs.create_log_group(logGroupName="other")
    assert [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]] == ["/a/b", "/a/c", "other"]
    assert [g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePrefix="/a/")["logGroups"]] == ["/a/b", "/a/c"]
    assert [g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePattern="the")["logGroups"]] == ["other"]
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["logGroups"]) for page in pages] == [2, 1]
    group = logs.describe_log_groups(logGroupNamePrefix="other")["logGroups"][0]
    assert group["arn"] == "arn:aws:logs:us-east-1:600000000001:log-group:other:*"
    assert abs(group["creationTime"] - now()) < 60_000 and "retentionInDays" not in group

    for name in ["one", "two", "ten"]:
        logs.create_log_stream(logGroupName="other", logStreamName=name)
    refused("ResourceAlreadyExistsException", logs.create_log_stream, logGroupName="other", logStreamName="one")
    refused("ResourceNotFoundException", logs.create_log_stream, logGroupName="ghost", logStreamName="one")
    refused("InvalidParameterException", logs.create_log_stream, logGroupName="other", logStreamName="a:b")
    names = lambda **members: [s["logStreamName"] for s in logs.describe_log_streams(  # noqa: E731
        logGroupName="other", **members)["logStreams"]]
    assert names() == ["one", "ten", "two"]
    assert names(descending=True) == ["two", "ten", "one"]
    assert names(logStreamNamePrefix="t") == ["ten", "two"]
    put(logs, "x", group="other", stream="ten")
    assert names(orderBy="LastEventTime", descending=True)[0] == "ten"
    refused("InvalidParameterException", logs.describe_log_streams, logGroupName="other", orderBy="LastEventTime", logStreamNamePrefix="t")
    logs.delete_log_stream(logGroupName="other", logStreamName="one")
    assert names() == ["ten", "two"]
    logs.delete_log_group(logGroupName="other")
    for call in [logs.delete_log_group, logs.describe_log_streams]:
        refused("ResourceNotFoundException", call, "The specified log group does not exist.", logGroupName="other")
    unchecked = simulated.client("logs", account="600000000001", parameter_validation=False)
    for name in ["", "x" * 513, "no spaces", "aws/x"]:
        refused("InvalidParameterException", unchecked.create_log_group, logGroupName=name)


def messages(answer):
    return [event["message"] for event in answer["events"]]


def test_put_and_get_both_ways(logs):
    lines = [f"line {n}" for n in range(25)]
    answer = put(logs, *lines)
    assert "rejectedLogEventsInfo" not in answer
    get = lambda **members: logs.get_log_events(logGroupName="/app", logStreamName="web", **members)  # noqa: E731
    assert messages(get(startFromHead=True)) == lines
    assert messages(get()) == lines

    page, seen = get(startFromHead=True, limit=10), []
    while page["events"]:
        seen += messages(page)
        page = get(startFromHead=True, limit=10, nextToken=page["nextForwardToken"])
    assert seen == lines
    assert get(nextToken=page["nextForwardToken"])["nextForwardToken"] == page["nextForwardToken"], "the end answers its own token"

    page, seen = get(limit=10), []
    assert messages(page) == lines[-10:]
    while page["events"]:
        seen = messages(page) + seen
        page = get(limit=10, nextToken=page["nextBackwardToken"])
    assert seen == lines

    tail = get(startFromHead=True)["nextForwardToken"]
    assert messages(get(nextToken=tail)) == []
    put(logs, "news", at=now() + 1000)
    assert messages(get(nextToken=tail)) == ["news"]
    refused("InvalidParameterException", get, "nextToken", nextToken="nonsense")
    refused("ResourceNotFoundException", logs.get_log_events, "The specified log stream does not exist.",
            logGroupName="/app", logStreamName="ghost")


def test_times(logs):
    at = now() - 10_000
    put(logs, *"abcdefgh", at=at)
    get = lambda **members: messages(logs.get_log_events(  # noqa: E731
        logGroupName="/app", logStreamName="web", startFromHead=True, **members))
    assert get(startTime=at + 2) == list("cdefgh")
    assert get(endTime=at + 2) == list("ab"), "the end is exclusive"
    assert get(startTime=at + 2, endTime=at + 4) == list("cd")
    event = logs.get_log_events(logGroupName="/app", logStreamName="web", startFromHead=True)["events"][0]
    assert event["timestamp"] == at and event["ingestionTime"] >= at
    stream = logs.describe_log_streams(logGroupName="/app")["logStreams"][0]
    assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (at, at + 7)


def test_bad_events(logs):
    bad = lambda events: refused("InvalidParameterException", logs.put_log_events, logGroupName="/app",  # noqa: E731
                                 logStreamName="web", logEvents=events)
    at = now()
    bad([{"timestamp": at + 1, "message": "b"}, {"timestamp": at, "message": "a"}])
    bad([{"timestamp": at, "message": "x" * 1_048_577}])
    answer = logs.put_log_events(logGroupName="/app", logStreamName="web", logEvents=[
        {"timestamp": at - 15 * 86_400_000, "message": "old"}, {"timestamp": at, "message": "now"},
        {"timestamp": at + 3 * 3_600_000, "message": "soon"}])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}
    assert messages(logs.get_log_events(logGroupName="/app", logStreamName="web", startFromHead=True)) == ["now"]
    refused("ResourceNotFoundException", logs.put_log_events, "log group", logGroupName="ghost", logStreamName="web",
            logEvents=[{"timestamp": at, "message": "x"}])
    refused("ResourceNotFoundException", logs.put_log_events, "log stream", logGroupName="/app", logStreamName="ghost",
            logEvents=[{"timestamp": at, "message": "x"}])


def test_every_character_comes_back(logs):
    lines = ["tab\there", "new\nline", "quote \" and \\", "snowman ☃ and 🚢", "\u0001\u001f", "</xml>", " spaces "]
    put(logs, *lines)
    assert messages(logs.get_log_events(logGroupName="/app", logStreamName="web", startFromHead=True)) == lines


def test_filter(logs):
    logs.create_log_stream(logGroupName="/app", logStreamName="worker")
    at = now() - 1000
    put(logs, "GET /index 200", "GET /ghost 404", 'say "hello world"', '{"level": "error", "code": 7}', at=at)
    put(logs, "ERROR disk full", "all fine", at=at + 1, stream="worker")
    found = lambda pattern, **members: sorted(messages(logs.filter_log_events(  # noqa: E731
        logGroupName="/app", filterPattern=pattern, **members)))
    assert len(found("")) == 6
    assert found("GET") == ["GET /ghost 404", "GET /index 200"]
    assert found("GET 404") == ["GET /ghost 404"]
    assert found("?404 ?disk") == ["ERROR disk full", "GET /ghost 404"]
    assert found("GET -404") == ["GET /index 200"]
    assert found('"hello world"') == ['say "hello world"']
    assert found('{ $.level = "error" && $.code > 6 }') == ['{"level": "error", "code": 7}']
    assert found("", logStreamNames=["worker"]) == ["ERROR disk full", "all fine"]
    assert found("", logStreamNamePrefix="wo") == ["ERROR disk full", "all fine"]
    assert found("", startTime=at + 3) == ['{"level": "error", "code": 7}']
    whole = logs.filter_log_events(logGroupName="/app")
    times = [event["timestamp"] for event in whole["events"]]
    assert times == sorted(times)
    assert {event["logStreamName"] for event in whole["events"]} == {"web", "worker"}
    assert len({event["eventId"] for event in whole["events"]}) == 6
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName="/app", PaginationConfig={"PageSize": 2}))
    assert sorted(m for page in pages for m in messages(page)) == found("")
    refused("InvalidParameterException", logs.filter_log_events, logGroupName="/app", filterPattern="{ $.x = ")
    refused("ResourceNotFoundException", logs.filter_log_events, logGroupName="ghost")


def test_retention_and_tags(logs):
    logs.put_retention_policy(logGroupName="/app", retentionInDays=7)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    refused("InvalidParameterException", logs.put_retention_policy, logGroupName="/app", retentionInDays=8)
    logs.delete_retention_policy(logGroupName="/app")
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]
    arn = logs.describe_log_groups()["logGroups"][0]["arn"].removesuffix(":*")
    logs.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    logs.tag_log_group(logGroupName="/app", tags={"c": "3"})
    assert logs.list_tags_log_group(logGroupName="/app")["tags"] == {"b": "2", "c": "3"}
    refused("ResourceNotFoundException", logs.tag_resource, resourceArn=arn + "ghost", tags={"a": "1"})


def test_aws_cli(simulated):
    simulated.aws("logs", "create-log-group", "--log-group-name", "/cli")
    simulated.aws("logs", "create-log-stream", "--log-group-name", "/cli", "--log-stream-name", "s")
    simulated.aws("logs", "put-log-events", "--log-group-name", "/cli", "--log-stream-name", "s",
                  "--log-events", f"timestamp={now()},message=hello")
    tail = simulated.aws("logs", "get-log-events", "--log-group-name", "/cli", "--log-stream-name", "s")
    assert [event["message"] for event in tail["events"]] == ["hello"]


def test_what_is_not_built_is_refused_by_name(logs):
    message = refused("UnknownOperationException", logs.put_metric_filter, logGroupName="/app", filterName="x",
                      filterPattern="", metricTransformations=[{"metricName": "x", "metricNamespace": "x", "metricValue": "1"}])
    assert "PutMetricFilter" in message and "Boxship" in message
    with pytest.raises(Exception, match="kmsKeyId"):
        logs.create_log_group(logGroupName="/x", kmsKeyId="arn:aws:kms:us-east-1:000000000000:key/x")
