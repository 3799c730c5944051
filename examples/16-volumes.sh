#!/usr/bin/env bash
# Scenario 16: bind mounts. On EC2 what a task writes under a host path lives as long as the instance,
# and so does a shared Docker volume; on Fargate a volume lives as long as its task, which may have
# 21 to 200 GiB (20 where it asks for none).
# Needs the AWS CLI, `boxship up --instance DemoCluster`, and `eval "$(boxship env)"`.
# IMAGE names an image with a shell, HOST_PATH a directory of this machine.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
host_path=${HOST_PATH:-/var/tmp/boxship-scenario-16}
cluster=DemoCluster
account=$(aws sts get-caller-identity --query Account --output text)
if ! aws iam get-role --role-name ecsTaskExecutionRole >/dev/null 2>&1; then
  aws iam create-role --role-name ecsTaskExecutionRole --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
fi
# Registers a task that counts its own lines in /data: its family, its volume, more members.
register() {
  aws ecs register-task-definition --query taskDefinition.taskDefinitionArn --output text --cli-input-json "
    {\"family\":\"$1\",\"volumes\":[$2],\"executionRoleArn\":\"arn:aws:iam::$account:role/ecsTaskExecutionRole\",$3
     \"containerDefinitions\":[{\"name\":\"count\",\"image\":\"$image\",\"memory\":64,\"entryPoint\":[\"/bin/sh\",\"-c\"],
       \"command\":[\"echo line >> /data/lines; wc -l < /data/lines; df -m /data | tail -n 1\"],
       \"mountPoints\":[{\"sourceVolume\":\"data\",\"containerPath\":\"/data\"}],
       \"logConfiguration\":{\"logDriver\":\"awslogs\",\"options\":{\"awslogs-group\":\"/ecs/volumes\",
         \"awslogs-region\":\"us-east-1\",\"awslogs-stream-prefix\":\"ecs\",\"awslogs-create-group\":\"true\"}}}]}"
}
# Runs it to its end, and prints how many lines it found.
lines() {
  task=$(aws ecs run-task --cluster $cluster --task-definition "$@" --query 'tasks[0].taskArn' --output text)
  aws ecs wait tasks-stopped --cluster $cluster --tasks "$task"
  aws logs get-log-events --log-group-name /ecs/volumes --log-stream-name "ecs/count/${task##*/}" --start-from-head \
    --query 'events[0].message' --output text
}
mkdir -p "$host_path"
register volume-host "{\"name\":\"data\",\"host\":{\"sourcePath\":\"$host_path\"}}" ""
echo "host path: $(lines volume-host), then $(lines volume-host)"
register volume-docker '{"name":"data","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true}}' ""
echo "Docker volume: $(lines volume-docker), then $(lines volume-docker)"

fargate='"requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","ephemeralStorage":{"sizeInGiB":25},'
register volume-fargate '{"name":"data"}' "$fargate"
subnet=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true --query 'Subnets[0].SubnetId' --output text)
network="awsvpcConfiguration={subnets=[$subnet],assignPublicIp=ENABLED}"
on_fargate() { lines volume-fargate --launch-type FARGATE --network-configuration "$network"; }
echo "Fargate: $(on_fargate), then $(on_fargate)"
aws ecs describe-tasks --cluster $cluster --tasks "$(aws ecs list-tasks --cluster $cluster --family volume-fargate \
  --desired-status STOPPED --query 'taskArns[0]' --output text)" --query 'tasks[0].ephemeralStorage.sizeInGiB' --output text
for path in '{"name":"data","host":{"sourcePath":"/srv"}}' '{"name":"data","dockerVolumeConfiguration":{"scope":"task"}}'; do
  { register volume-refused "$path" "$fargate" 2>&1 || true; } | grep ClientException
done
rm -f "$host_path/lines"
