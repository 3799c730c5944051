#!/usr/bin/env bash
# Scenario 10: launch type EC2. A task fails when the instance has no cpu, no memory or no host port
# left for it, and says so; it runs once another has given them back.
# Needs the AWS CLI and curl, `boxship up --instance DemoCluster`, and `eval "$(boxship env)"`.
# IMAGE names an image with a shell.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
cluster=DemoCluster

instance=$(aws ecs list-container-instances --cluster $cluster --query 'containerInstanceArns[0]' --output text)
left() {
  aws ecs describe-container-instances --cluster $cluster --container-instances "$instance" --output text \
    --query "containerInstances[0].remainingResources[?name=='$1'].integerValue | [0]"
}
# Registers a task with one container: its family, cpu, memory and host port.
register() {
  aws ecs register-task-definition --family "$1" --query taskDefinition.taskDefinitionArn --output text \
    --container-definitions "[{\"name\":\"web\",\"image\":\"$image\",\"cpu\":$2,\"memory\":$3,
      \"portMappings\":[{\"containerPort\":80,\"hostPort\":$4}],\"entryPoint\":[\"/bin/sh\",\"-c\"],
      \"command\":[\"mkdir -p /www; echo Hello from an instance > /www/index.html; httpd -p 80 -h /www; trap 'exit 0' TERM; while :; do sleep 0.2; done\"]}]"
}
# Runs it, and prints its ARN or why it does not run.
run() {
  aws ecs run-task --cluster $cluster --task-definition "$1" --output text \
    --query '[tasks[0].taskArn, failures[0].reason] | [?@] | [0]'
}
port=${PORT:-18010}
cpu=$(left CPU) memory=$(left MEMORY)
echo "the instance has $cpu units of cpu and $memory MiB of memory"
register room-web 64 32 "$port"
register room-cpu $((cpu + 1)) 32 0
register room-memory 64 $((memory + 1)) 0

task=$(run room-web)
aws ecs wait tasks-running --cluster $cluster --tasks "$task"
curl --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors "http://127.0.0.1:$port/"
echo "left: $(left CPU) $(left MEMORY)"
echo "too much cpu: $(run room-cpu)"
echo "too much memory: $(run room-memory)"
echo "the same port: $(run room-web)"

aws ecs stop-task --cluster $cluster --task "$task" --query task.desiredStatus --output text
aws ecs wait tasks-stopped --cluster $cluster --tasks "$task"
task=$(run room-web)
aws ecs wait tasks-running --cluster $cluster --tasks "$task"
echo "and again: $(aws ecs describe-tasks --cluster $cluster --tasks "$task" --query 'tasks[0].lastStatus' --output text)"
aws ecs stop-task --cluster $cluster --task "$task" --query task.desiredStatus --output text
aws ecs wait tasks-stopped --cluster $cluster --tasks "$task"
