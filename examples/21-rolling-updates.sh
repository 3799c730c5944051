#!/usr/bin/env bash
# Scenario 21: rolling updates of a service under load. Four tasks at minimum 50 and maximum 100 percent
# go 4 → 2 → 4 → 2 → 4, at 100 and 150 they go 4 → 6 → 4 → 6 → 4; nine tasks at 100 and 200. No request
# is lost.
# Needs the AWS CLI and curl, `boxship up`, and `eval "$(boxship env)"`.
# IMAGE names an image with a shell and busybox's httpd.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
cluster=DemoCluster
port=${AWS_ENDPOINT_URL##*:}
scratch=$(mktemp -d)
loads=()
trap 'kill "${loads[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

# A web server that says its version.
command='mkdir -p /www; echo $VERSION > /www/index.html; trap \"exit 0\" TERM; httpd -f -p 80 -h /www & wait'
register() {
  aws ecs register-task-definition --family web --requires-compatibilities FARGATE --network-mode awsvpc \
    --cpu 256 --memory 512 --query taskDefinition.revision --output text \
    --container-definitions "[{\"name\":\"web\",\"image\":\"$image\",\"portMappings\":[{\"containerPort\":80}],
      \"environment\":[{\"name\":\"VERSION\",\"value\":\"$1\"}],
      \"entryPoint\":[\"/bin/sh\",\"-c\"],\"command\":[\"$command\"]}]"
}
update() { aws ecs update-service --cluster $cluster --service web --query 'service.[desiredCount,taskDefinition]' --output text "$@"; }
# Waits until the newest deployment is over and says so.
completed() {
  until [[ $(aws ecs describe-services --cluster $cluster --services web --output text \
    --query 'services[0].[length(deployments),deployments[0].rolloutState,runningCount==desiredCount]') == $'1\tCOMPLETED\tTrue' ]]; do
    sleep 1
  done
}
# How many tasks there were, one after the other, since so many events and from so many tasks on.
story() {
  aws ecs describe-services --cluster $cluster --services web --output json --query 'reverse(services[0].events[].message)' |
    tail -n "+$(($1 + 2))" | awk -v count="$2" '
      function told() { if (count != last) { printf "%s%s", (last == "" ? "" : " → "), count; last = count } }
      BEGIN { told() }
      match($0, /has started [0-9]+ tasks/) { split(substr($0, RSTART), word, " "); count += word[3]; told() }
      match($0, /has stopped [0-9]+ running tasks/) { split(substr($0, RSTART), word, " "); count -= word[3]; told() }
      END { print "" }'
}
events() { aws ecs describe-services --cluster $cluster --services web --query 'length(services[0].events)' --output text; }

aws ecs create-cluster --cluster-name $cluster --query cluster.status --output text
register 1
vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
front=$(aws ec2 create-security-group --group-name web-front --description "the load balancer" --vpc-id "$vpc" --query GroupId --output text)
back=$(aws ec2 create-security-group --group-name web-back --description "the tasks" --vpc-id "$vpc" --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id "$front" --protocol tcp --port 80 --cidr 0.0.0.0/0 --query Return
aws ec2 authorize-security-group-ingress --group-id "$back" --protocol tcp --port 80 --source-group "$front" --query Return
# shellcheck disable=SC2086
balancer=$(aws elbv2 create-load-balancer --name web --security-groups "$front" --subnets $subnets \
  --query 'LoadBalancers[0].LoadBalancerArn' --output text)
name=$(aws elbv2 describe-load-balancers --load-balancer-arns "$balancer" --query 'LoadBalancers[0].DNSName' --output text)
group=$(aws elbv2 create-target-group --name web --protocol HTTP --port 80 --target-type ip --vpc-id "$vpc" \
  --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text)
aws elbv2 modify-target-group-attributes --target-group-arn "$group" --query 'Attributes[0].Key' --output text \
  --attributes Key=deregistration_delay.timeout_seconds,Value=5
aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
  --default-actions "Type=forward,TargetGroupArn=$group" --query 'Listeners[0].Protocol' --output text
aws ecs create-service --cluster $cluster --service-name web --task-definition web --desired-count 4 --launch-type FARGATE \
  --deployment-configuration minimumHealthyPercent=50,maximumPercent=100 \
  --load-balancers "targetGroupArn=$group,containerName=web,containerPort=80" --query service.status --output text \
  --network-configuration "awsvpcConfiguration={subnets=[${subnets//[[:space:]]/,}],securityGroups=[$back],assignPublicIp=ENABLED}"
completed

echo "== load"
# Each keeps its connection, asks again as soon as it has its answer, and ends at the first that is not 200.
for client in 1 2 3 4; do
  curl --silent --fail --fail-early --output /dev/null --write-out '%{http_code}\n' --connect-to "$name:80:127.0.0.1:$port" \
    "http://$name/?[1-100000000]" >"$scratch/codes$client" &
  loads+=($!)
done

echo "== four tasks, 50 and 100 percent"
before=$(events)
register 2
update --task-definition web
completed
echo "tasks: $(story "$before" 4)"

echo "== four tasks, 100 and 150 percent"
before=$(events)
register 3
update --task-definition web --deployment-configuration minimumHealthyPercent=100,maximumPercent=150
completed
echo "tasks: $(story "$before" 4)"

echo "== nine tasks, 100 and 200 percent"
update --desired-count 9
completed
before=$(events)
register 4
update --task-definition web --deployment-configuration minimumHealthyPercent=100,maximumPercent=200
completed
echo "tasks: $(story "$before" 9)"

lost=0
for load in "${loads[@]}"; do
  kill "$load" || lost=$((lost + 1))
done
echo "requests answered: more than $(cat "$scratch"/codes* | grep -c '^200$'), clients that lost one: $lost"

echo "== and all of it goes"
aws ecs delete-service --cluster $cluster --service web --force --query service.status --output text
until [[ $(aws ecs describe-services --cluster $cluster --services web --query 'services[0].status' --output text) == INACTIVE ]]; do
  sleep 1
done
aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
aws elbv2 wait load-balancers-deleted --load-balancer-arns "$balancer"
aws elbv2 delete-target-group --target-group-arn "$group"
for group in web-back web-front; do
  aws ec2 delete-security-group --group-name $group --query Return
done
# With this machine in it (boxship up --instance) the cluster stays.
if [[ $(aws ecs describe-clusters --clusters $cluster --query 'clusters[0].registeredContainerInstancesCount' --output text) == 0 ]]; then
  aws ecs delete-cluster --cluster $cluster --query cluster.status --output text
fi
