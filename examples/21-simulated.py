#!/usr/bin/env python3
"""Scenario 21, simulated: rolling updates of four tasks at 50/100 and 100/150 percent, and of nine at 100/200.

Needs boto3, `boxship up --runtime simulated`, and `eval "$(boxship env)"`.
"""

from simulated import Front, create, delete, events, is_over, passes, register, service, story, update

front = Front("web")
create(front, register(1), 4, deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 100})
passes(is_over)

for version, desired, minimum, maximum in [(2, 4, 50, 100), (3, 4, 100, 150), (4, 9, 100, 200)]:
    update(desiredCount=desired, deploymentConfiguration={"minimumHealthyPercent": minimum, "maximumPercent": maximum})
    passes(is_over)
    told = len(events())
    update(taskDefinition=register(version))
    passes(is_over)
    print(f"{desired} tasks at {minimum} and {maximum} percent: {story(events()[told:], desired)}")
    assert service()["taskDefinition"].endswith(f":{version}")
delete(front)
