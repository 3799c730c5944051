#!/usr/bin/env bash
# Scenario 30, without FireLens: awslogs that keeps a stack trace together, a health check that another
# container waits for, a start timeout that runs out, a stop timeout that is kept.
# Needs the AWS CLI, `boxship up`, and `eval "$(boxship env)"`. IMAGE names an image with a shell.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
account=$(aws sts get-caller-identity --query Account --output text)
aws ecs create-cluster --cluster-name DemoCluster --query cluster.clusterName --output text
if ! aws iam get-role --role-name ecsTaskExecutionRole >/dev/null 2>&1; then
  aws iam create-role --role-name ecsTaskExecutionRole --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
fi
subnet=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true --query 'Subnets[0].SubnetId' --output text)
log='"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/ecs/health","awslogs-region":"us-east-1",
  "awslogs-stream-prefix":"ecs","awslogs-create-group":"true","mode":"blocking","awslogs-multiline-pattern":"^(INFO|ERROR)"}}'
# Registers and runs a task of the containers given; prints its ARN.
run() {
  aws ecs register-task-definition --query taskDefinition.taskDefinitionArn --output text --cli-input-json "
    {\"family\":\"health\",\"requiresCompatibilities\":[\"FARGATE\"],\"networkMode\":\"awsvpc\",\"cpu\":\"256\",\"memory\":\"512\",
     \"executionRoleArn\":\"arn:aws:iam::$account:role/ecsTaskExecutionRole\",\"containerDefinitions\":[$1]}" >/dev/null
  aws ecs run-task --cluster DemoCluster --launch-type FARGATE --task-definition health \
    --network-configuration "awsvpcConfiguration={subnets=[$subnet],assignPublicIp=ENABLED}" --query 'tasks[0].taskArn' --output text
}
show() { aws ecs describe-tasks --cluster DemoCluster --tasks "$1" --query "$2" --output text; }

# The database is healthy after a second; the application starts then, and not before.
task=$(run "
  {\"name\":\"db\",\"image\":\"$image\",\"entryPoint\":[\"/bin/sh\",\"-c\"],$log,
   \"command\":[\"echo INFO starting; sleep 1; touch /tmp/ready; echo INFO ready; trap 'echo INFO flushing; sleep 1; echo INFO bye; exit 0' TERM; while :; do sleep 0.1; done\"],
   \"stopTimeout\":10,\"healthCheck\":{\"command\":[\"CMD-SHELL\",\"test -e /tmp/ready\"],\"interval\":5,\"timeout\":2,\"retries\":3}},
  {\"name\":\"app\",\"image\":\"$image\",\"entryPoint\":[\"/bin/sh\",\"-c\"],$log,
   \"command\":[\"echo ERROR it failed; echo '  at line 1'; echo '  at line 2'; echo INFO going on; sleep 600\"],
   \"dependsOn\":[{\"containerName\":\"db\",\"condition\":\"HEALTHY\"}],\"stopTimeout\":2}")
aws ecs wait tasks-running --cluster DemoCluster --tasks "$task"
echo "the task is $(show "$task" 'tasks[0].healthStatus')"
aws ecs stop-task --cluster DemoCluster --task "$task" --query task.desiredStatus --output text
aws ecs wait tasks-stopped --cluster DemoCluster --tasks "$task"
echo "exit codes: $(show "$task" 'tasks[0].containers[].[name,exitCode]' | sort | xargs)"
for name in app db; do
  aws logs get-log-events --log-group-name /ecs/health --log-stream-name "ecs/$name/${task##*/}" --start-from-head \
    --query 'length(events)' --output text | sed "s/^/events of $name: /"
done

# A database that never becomes healthy: the application's start timeout ends the task.
task=$(run "
  {\"name\":\"db\",\"image\":\"$image\",\"entryPoint\":[\"/bin/sh\",\"-c\"],\"command\":[\"sleep 600\"],\"stopTimeout\":2,\"startTimeout\":5,
   \"healthCheck\":{\"command\":[\"CMD-SHELL\",\"exit 1\"],\"interval\":5,\"timeout\":2,\"retries\":10}},
  {\"name\":\"app\",\"image\":\"$image\",\"entryPoint\":[\"/bin/sh\",\"-c\"],\"command\":[\"sleep 600\"],
   \"dependsOn\":[{\"containerName\":\"db\",\"condition\":\"HEALTHY\"}]}")
aws ecs wait tasks-stopped --cluster DemoCluster --tasks "$task"
show "$task" 'tasks[0].stopCode'
