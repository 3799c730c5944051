#!/usr/bin/env bash
# Scenario 15: ten containers in one task, one of them essential. Eight workers write what they
# measure into a shared volume, a sidecar ships it into its log; when the essential one ends, all end.
# Needs the AWS CLI, `boxship up`, and `eval "$(boxship env)"`. IMAGE names an image with a shell.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
account=$(aws sts get-caller-identity --query Account --output text)

aws ecs create-cluster --cluster-name DemoCluster --query cluster.clusterName --output text
if ! aws iam get-role --role-name ecsTaskExecutionRole >/dev/null 2>&1; then
  aws iam create-role --role-name ecsTaskExecutionRole --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
fi
container() { # name, essential, script
  cat <<JSON
{"name":"$1","image":"$image","essential":$2,"entryPoint":["/bin/sh","-c"],"command":["$3"],"stopTimeout":2,
 "mountPoints":[{"sourceVolume":"metrics","containerPath":"/metrics"}],
 "logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/ecs/ten","awslogs-region":"us-east-1",
   "awslogs-stream-prefix":"ecs","awslogs-create-group":"true"}}}
JSON
}
# The application ends once the sidecar has shipped what every worker measured.
containers=$(container app true 'until [ -e /metrics/shipped ]; do sleep 0.2; done; echo all is shipped')
for n in 1 2 3 4 5 6 7 8; do
  containers+=",$(container "worker$n" false "echo worker$n load=$n > /metrics/worker$n.part; mv /metrics/worker$n.part /metrics/worker$n; sleep 600")"
done
shipper='until [ $(ls /metrics | grep -c worker.$) = 8 ]; do sleep 0.2; done; cat /metrics/worker*; touch /metrics/shipped; sleep 600'
containers+=",$(container shipper false "$shipper")"
definition=$(mktemp)
cat >"$definition" <<JSON
{"family":"ten","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"512","memory":"1024",
 "executionRoleArn":"arn:aws:iam::$account:role/ecsTaskExecutionRole","volumes":[{"name":"metrics"}],
 "containerDefinitions":[$containers]}
JSON
aws ecs register-task-definition --cli-input-json "file://$definition" --query 'length(taskDefinition.containerDefinitions)' --output text
subnet=$(aws ec2 describe-subnets --filters Name=default-for-az,Values=true --query 'Subnets[0].SubnetId' --output text)
task=$(aws ecs run-task --cluster DemoCluster --launch-type FARGATE --task-definition ten \
  --network-configuration "awsvpcConfiguration={subnets=[$subnet],assignPublicIp=ENABLED}" \
  --query 'tasks[0].taskArn' --output text)
aws ecs wait tasks-stopped --cluster DemoCluster --tasks "$task"
aws logs get-log-events --log-group-name /ecs/ten --log-stream-name "ecs/shipper/${task##*/}" --start-from-head \
  --query 'events[].[message]' --output text
aws ecs describe-tasks --cluster DemoCluster --tasks "$task" --output text \
  --query 'tasks[0].[stopCode,stoppedReason,length(containers[?lastStatus==`STOPPED`])]'
