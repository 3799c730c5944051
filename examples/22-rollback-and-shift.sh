#!/usr/bin/env bash
# Scenario 22: a broken image is rolled back by the circuit breaker; then a version comes by blue/green,
# where somebody has a look at it first, one as a canary, and one step by step.
# Needs the AWS CLI and curl, `boxship up`, and `eval "$(boxship env)"`.
# IMAGE names an image with a shell and busybox's httpd. BAKE: for how many minutes both versions stay.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
bake=${BAKE:-0}
cluster=DemoCluster
port=${AWS_ENDPOINT_URL##*:}
registry=${AWS_ENDPOINT_URL#*://}

# Registers a version: what it says, and the image that says it.
register() {
  aws ecs register-task-definition --family web --requires-compatibilities FARGATE --network-mode awsvpc \
    --cpu 256 --memory 512 --query taskDefinition.revision --output text \
    --container-definitions "[{\"name\":\"web\",\"image\":\"$2\",\"portMappings\":[{\"containerPort\":80}],
      \"environment\":[{\"name\":\"VERSION\",\"value\":\"$1\"}],\"entryPoint\":[\"/bin/sh\",\"-c\"],
      \"command\":[\"mkdir -p /www; echo \$VERSION > /www/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait\"]}]"
}
update() { aws ecs update-service --cluster $cluster --service web --task-definition web --query service.status --output text "$@"; }
newest() {
  aws ecs list-service-deployments --cluster $cluster --service web --query 'serviceDeployments[0].serviceDeploymentArn' --output text
}
ask() { curl --silent --show-error --fail --connect-to "$name:80:127.0.0.1:$port" "http://$name/" "$@"; }
# The weights of the two groups in the rule of production.
weights() {
  aws elbv2 describe-rules --rule-arns "$production" --output text \
    --query "Rules[0].Actions[0].ForwardConfig.TargetGroups[?Weight>\`0\`].Weight | sort(@)" | tr '\t' '/'
}
# Follows the newest deployment to its end, and agrees wherever it waits for somebody.
follow() {
  local arn status stage hook
  arn=$(newest)
  while :; do
    read -r status stage hook < <(aws ecs describe-service-deployments --service-deployment-arns "$arn" --output text --query \
      "serviceDeployments[0].[status,lifecycleStage,lifecycleHookDetails[?status=='AWAITING_ACTION'].hookId | [0]]")
    case $status in
      SUCCESSFUL | STOPPED | ROLLBACK_SUCCESSFUL | ROLLBACK_FAILED) break ;;
    esac
    if [[ $hook == ecs-* ]]; then
      echo "waits at $stage, weights $(weights)"
      if [[ ${1-} == look ]]; then
        echo "production: $(ask), test: $(ask --header 'x-test: yes')"
      fi
      aws ecs continue-service-deployment --service-deployment-arn "$arn" --hook-id "$hook" --action CONTINUE \
        --query serviceDeploymentArn --output text >/dev/null
    fi
    sleep 0.5
  done
  echo "$status, production: $(ask), weights $(weights)"
}

echo "== two target groups, a rule of production and one for tests"
aws ecs create-cluster --cluster-name $cluster --query cluster.status --output text
aws iam create-role --role-name ecsInfrastructureRole --query Role.RoleName --output text \
  --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
aws iam attach-role-policy --role-name ecsInfrastructureRole \
  --policy-arn arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers
role=$(aws iam get-role --role-name ecsInfrastructureRole --query Role.Arn --output text)
vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
front=$(aws ec2 create-security-group --group-name shift-front --description "the load balancer" --vpc-id "$vpc" --query GroupId --output text)
back=$(aws ec2 create-security-group --group-name shift-back --description "the tasks" --vpc-id "$vpc" --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id "$front" --protocol tcp --port 80 --cidr 0.0.0.0/0 --query Return
aws ec2 authorize-security-group-ingress --group-id "$back" --protocol tcp --port 80 --source-group "$front" --query Return
# shellcheck disable=SC2086
balancer=$(aws elbv2 create-load-balancer --name shift --security-groups "$front" --subnets $subnets \
  --query 'LoadBalancers[0].LoadBalancerArn' --output text)
name=$(aws elbv2 describe-load-balancers --load-balancer-arns "$balancer" --query 'LoadBalancers[0].DNSName' --output text)
target_group() {
  local arn
  arn=$(aws elbv2 create-target-group --name "$1" --protocol HTTP --port 80 --target-type ip --vpc-id "$vpc" \
    --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text)
  aws elbv2 modify-target-group-attributes --target-group-arn "$arn" --query 'Attributes[0].Key' --output text \
    --attributes Key=deregistration_delay.timeout_seconds,Value=5 >/dev/null
  echo "$arn"
}
blue=$(target_group blue)
green=$(target_group green)
listener=$(aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
  --default-actions 'Type=fixed-response,FixedResponseConfig={StatusCode=404}' --query 'Listeners[0].ListenerArn' --output text)
both="[{\"Type\":\"forward\",\"ForwardConfig\":{\"TargetGroups\":[
  {\"TargetGroupArn\":\"$blue\",\"Weight\":100},{\"TargetGroupArn\":\"$green\",\"Weight\":0}]}}]"
testing=$(aws elbv2 create-rule --listener-arn "$listener" --priority 1 --actions "$both" \
  --conditions 'Field=http-header,HttpHeaderConfig={HttpHeaderName=x-test,Values=yes}' --query 'Rules[0].RuleArn' --output text)
production=$(aws elbv2 create-rule --listener-arn "$listener" --priority 2 --actions "$both" \
  --conditions 'Field=path-pattern,Values=/*' --query 'Rules[0].RuleArn' --output text)

echo "== a service with a circuit breaker"
register v1 "$image"
balancing="[{\"targetGroupArn\":\"$blue\",\"containerName\":\"web\",\"containerPort\":80,\"advancedConfiguration\":{
  \"alternateTargetGroupArn\":\"$green\",\"productionListenerRule\":\"$production\",\"testListenerRule\":\"$testing\",
  \"roleArn\":\"$role\"}}]"
breaker='"deploymentCircuitBreaker":{"enable":true,"rollback":true}'
aws ecs create-service --cluster $cluster --service-name web --task-definition web --desired-count 2 --launch-type FARGATE \
  --deployment-configuration "{$breaker}" --query service.status --output text \
  --load-balancers "targetGroupArn=$blue,containerName=web,containerPort=80" \
  --network-configuration "awsvpcConfiguration={subnets=[${subnets//[[:space:]]/,}],securityGroups=[$back],assignPublicIp=ENABLED}"
follow

echo "== an image that is not there"
register v2 "$registry/missing:1"
update
follow
aws ecs describe-service-deployments --service-deployment-arns "$(newest)" --output text \
  --query 'serviceDeployments[0].[statusReason,deploymentCircuitBreaker.status]'

echo "== blue/green, after somebody has looked"
register v3 "$image"
pause='"lifecycleHooks":[{"targetType":"PAUSE","lifecycleStages":["POST_TEST_TRAFFIC_SHIFT"],
  "timeoutConfiguration":{"timeoutInMinutes":10,"action":"ROLLBACK"}}]'
update --load-balancers "$balancing" --deployment-configuration "{\"strategy\":\"BLUE_GREEN\",\"bakeTimeInMinutes\":$bake,$pause}"
follow look

echo "== a canary"
register v4 "$image"
# Before each step.
pause=${pause/POST_TEST_TRAFFIC_SHIFT/PRE_PRODUCTION_TRAFFIC_SHIFT}
update --deployment-configuration "{\"strategy\":\"CANARY\",\"bakeTimeInMinutes\":$bake,$pause,
  \"canaryConfiguration\":{\"canaryPercent\":10,\"canaryBakeTimeInMinutes\":$bake}}"
follow

echo "== step by step"
register v5 "$image"
update --deployment-configuration "{\"strategy\":\"LINEAR\",\"bakeTimeInMinutes\":$bake,$pause,
  \"linearConfiguration\":{\"stepPercent\":50,\"stepBakeTimeInMinutes\":$bake}}"
follow

echo "== what the service says"
aws ecs describe-services --cluster $cluster --services web --query 'reverse(services[0].events[].message)' --output text | tr '\t' '\n'

echo "== and all of it goes"
aws ecs delete-service --cluster $cluster --service web --force --query service.status --output text
until [[ $(aws ecs describe-services --cluster $cluster --services web --query 'services[0].status' --output text) == INACTIVE ]]; do
  sleep 1
done
aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
aws elbv2 wait load-balancers-deleted --load-balancer-arns "$balancer"
for group in "$blue" "$green"; do
  aws elbv2 delete-target-group --target-group-arn "$group"
done
for group in shift-back shift-front; do
  aws ec2 delete-security-group --group-name $group --query Return
done
# With this machine in it (boxship up --instance) the cluster stays.
if [[ $(aws ecs describe-clusters --clusters $cluster --query 'clusters[0].registeredContainerInstancesCount' --output text) == 0 ]]; then
  aws ecs delete-cluster --cluster $cluster --query cluster.status --output text
fi
