#!/usr/bin/env bash
# Scenario 8, after 07-service.sh: three tasks whose answers alternate; the service's events, each task's
# log and life-cycle; then nobody is desired, and all of it goes.
# Needs the AWS CLI and curl, `boxship up`, and `eval "$(boxship env)"`.
set -euo pipefail
cluster=DemoCluster
port=${AWS_ENDPOINT_URL##*:}
balancer=$(aws elbv2 describe-load-balancers --names hello --query 'LoadBalancers[0].LoadBalancerArn' --output text)
name=$(aws elbv2 describe-load-balancers --names hello --query 'LoadBalancers[0].DNSName' --output text)
group=$(aws elbv2 describe-target-groups --names hello --query 'TargetGroups[0].TargetGroupArn' --output text)

echo "== three tasks"
aws ecs update-service --cluster $cluster --service hello --desired-count 3 --query service.desiredCount --output text
until [[ $(aws ecs describe-services --cluster $cluster --services hello --query 'services[0].runningCount' --output text) == 3 ]]; do
  sleep 1
done
aws elbv2 wait target-in-service --target-group-arn "$group"
answers=$(for _ in 1 2 3 4 5 6 7 8 9; do
  curl --silent --show-error --fail --connect-to "$name:80:127.0.0.1:$port" "http://$name/"
done | sort -u | wc -l)
echo "$answers different answers"

echo "== what the service says"
aws ecs describe-services --cluster $cluster --services hello --query 'reverse(services[0].events[].message)' --output text | tr '\t' '\n'
echo "== what became of each task"
read -ra tasks < <(aws ecs list-tasks --cluster $cluster --service-name hello --query taskArns --output text)
aws ecs describe-tasks --cluster $cluster --tasks "${tasks[@]}" --output text \
  --query 'tasks[].[lastStatus,group,createdAt,startedAt]'
for task in "${tasks[@]}"; do
  aws logs get-log-events --log-group-name /ecs/nginxdemos-hello --log-stream-name "ecs/hello/${task##*/}" \
    --query 'events[].message' --output text
done

echo "== nobody is desired"
aws ecs update-service --cluster $cluster --service hello --desired-count 0 --query service.desiredCount --output text
aws ecs wait tasks-stopped --cluster $cluster --tasks "${tasks[@]}"
aws ecs describe-tasks --cluster $cluster --tasks "${tasks[@]}" --output text --query 'tasks[].[lastStatus,stopCode,stoppedReason]'

echo "== and all of it goes"
aws ecs delete-service --cluster $cluster --service hello --query service.status --output text
aws ecs wait services-inactive --cluster $cluster --services hello
aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
aws elbv2 wait load-balancers-deleted --load-balancer-arns "$balancer"
aws elbv2 delete-target-group --target-group-arn "$group"
for group in hello-back hello-front; do
  aws ec2 delete-security-group --group-name $group --query Return
done
# With this machine in it (boxship up --instance) the cluster stays.
if [[ $(aws ecs describe-clusters --clusters $cluster --query 'clusters[0].registeredContainerInstancesCount' --output text) == 0 ]]; then
  aws ecs delete-cluster --cluster $cluster --query cluster.status --output text
fi
