#!/usr/bin/env bash
# Scenario 7, as far as the task: register a Fargate task definition with half a vCPU and 1 GB, make
# the execution role where it is missing, run it, open it, read its log, stop it.
# Needs the AWS CLI and curl. Run it against a fresh `boxship up`, after `eval "$(boxship env)"` and
# after 02-push-and-pull.sh (it runs the image `demo:latest` of that scenario).
set -euo pipefail
cd "$(dirname "$0")"
registry=${AWS_ENDPOINT_URL#http://}
account=$(aws sts get-caller-identity --query Account --output text)

aws ecs create-cluster --cluster-name DemoCluster --query cluster.clusterArn --output text
if ! aws iam get-role --role-name ecsTaskExecutionRole >/dev/null 2>&1; then
  aws iam create-role --role-name ecsTaskExecutionRole --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
  aws iam attach-role-policy --role-name ecsTaskExecutionRole \
    --policy-arn arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy
fi
definition=$(mktemp)
sed -e "s|localhost:4566/hello:latest|$registry/demo:latest|" -e "s|000000000000|$account|" \
  hello/task-definition.json >"$definition"
aws ecs register-task-definition --cli-input-json "file://$definition" --query taskDefinition.taskDefinitionArn --output text
subnet=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true --query 'Subnets[0].SubnetId' --output text)
task=$(aws ecs run-task --cluster DemoCluster --launch-type FARGATE --task-definition hello \
  --network-configuration "awsvpcConfiguration={subnets=[$subnet],assignPublicIp=ENABLED}" \
  --query 'tasks[0].taskArn' --output text)
aws ecs wait tasks-running --cluster DemoCluster --tasks "$task"
address=$(aws ecs describe-tasks --cluster DemoCluster --tasks "$task" \
  --query "tasks[0].attachments[0].details[?name=='privateIPv4Address'].value" --output text)
curl --silent --show-error --retry 20 --retry-delay 1 --retry-connrefused "http://$address/"
sleep 1
aws logs get-log-events --log-group-name /ecs/hello --log-stream-name "ecs/hello/${task##*/}" \
  --query 'events[].message' --output text
aws ecs stop-task --cluster DemoCluster --task "$task" --reason "the scenario is over" --query task.desiredStatus --output text
aws ecs wait tasks-stopped --cluster DemoCluster --tasks "$task"
aws ecs describe-tasks --cluster DemoCluster --tasks "$task" \
  --query 'tasks[0].[lastStatus,stopCode,stoppedReason,containers[0].exitCode]' --output text
