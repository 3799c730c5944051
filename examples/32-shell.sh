#!/usr/bin/env bash
# Scenario 32: a shell in a running container, and a command in it from a script.
# Needs the AWS CLI, `boxship up`, and `eval "$(boxship env)"`. IMAGE names an image with a shell.
# `aws ecs execute-command` needs AWS's session-manager-plugin; `boxship exec` needs nothing.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
account=$(aws sts get-caller-identity --query Account --output text)
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
channel='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["ssmmessages:CreateControlChannel",
  "ssmmessages:CreateDataChannel","ssmmessages:OpenControlChannel","ssmmessages:OpenDataChannel"]}]}'

aws ecs create-cluster --cluster-name DemoCluster --query cluster.clusterName --output text
# Execute command acts in the name of the task's role.
if ! aws iam get-role --role-name shellTaskRole >/dev/null 2>&1; then
  aws iam create-role --role-name shellTaskRole --query Role.Arn --output text --assume-role-policy-document "$trust"
fi
aws iam put-role-policy --role-name shellTaskRole --policy-name channel --policy-document "$channel"
aws ecs register-task-definition --family shell --requires-compatibilities FARGATE --network-mode awsvpc \
  --cpu 256 --memory 512 --task-role-arn "arn:aws:iam::$account:role/shellTaskRole" \
  --container-definitions "[{\"name\":\"app\",\"image\":\"$image\",\"command\":[\"sleep\",\"3600\"],\"stopTimeout\":2}]" \
  --query taskDefinition.taskDefinitionArn --output text
subnet=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true --query 'Subnets[0].SubnetId' --output text)
task=$(aws ecs run-task --cluster DemoCluster --launch-type FARGATE --task-definition shell --enable-execute-command \
  --network-configuration "awsvpcConfiguration={subnets=[$subnet],assignPublicIp=ENABLED}" \
  --query 'tasks[0].taskArn' --output text)
aws ecs wait tasks-running --cluster DemoCluster --tasks "$task"
aws ecs describe-tasks --cluster DemoCluster --tasks "$task" --output text \
  --query 'tasks[0].containers[0].managedAgents[0].[name,lastStatus]'

if command -v session-manager-plugin >/dev/null; then
  # Without --command /bin/sh -c …, only /bin/sh: a shell to type into.
  aws ecs execute-command --cluster DemoCluster --task "$task" --container app --interactive \
    --command "/bin/sh -c 'echo this is \$(hostname), user \$(id -u)'"
fi
if command -v boxship >/dev/null; then
  echo "some input" | boxship exec "${task##*/}" -- /bin/sh -c 'echo "read: $(cat)"; exit 7' || echo "exit code $?"
fi
aws ecs stop-task --cluster DemoCluster --task "$task" --query task.desiredStatus --output text
