#!/usr/bin/env bash
# Scenario 18: an Application Load Balancer over HTTP and HTTPS with rules by path and host. Behind
# it Fargate tasks on their own addresses and one port, and EC2 tasks with dynamic host ports, several
# of them on one instance; the targets are registered by hand.
# Needs the AWS CLI, curl and openssl, `boxship up --instance DemoCluster`, and `eval "$(boxship env)"`.
# IMAGE names an image with a shell and busybox's httpd.
set -euo pipefail
image=${IMAGE:-public.ecr.aws/docker/library/busybox:latest}
cluster=DemoCluster
port=${AWS_ENDPOINT_URL##*:}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A web server that says its name under / and under /api/.
command='mkdir -p /www/api; echo \"$GREETING from $(hostname)\" | tee /www/index.html > /www/api/index.html;
  httpd -p 80 -h /www; trap \"exit 0\" TERM; while :; do sleep 0.2; done'
# Registers a task: its family, launch type, network mode and host port.
register() {
  aws ecs register-task-definition --family "$1" --requires-compatibilities "$2" --network-mode "$3" \
    --cpu 256 --memory 512 --query taskDefinition.taskDefinitionArn --output text \
    --container-definitions "[{\"name\":\"web\",\"image\":\"$image\",\"memory\":64,
      \"portMappings\":[{\"containerPort\":80,\"hostPort\":$4}],
      \"environment\":[{\"name\":\"GREETING\",\"value\":\"$1\"}],
      \"entryPoint\":[\"/bin/sh\",\"-c\"],\"command\":[\"$(tr -d '\n' <<<"$command")\"]}]"
}
register web FARGATE awsvpc 80
register api EC2 bridge 0

echo "== security groups"
vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
subnet=${subnets%%[[:space:]]*}
front=$(aws ec2 create-security-group --group-name front --description "the load balancer" --vpc-id "$vpc" --query GroupId --output text)
back=$(aws ec2 create-security-group --group-name back --description "its targets" --vpc-id "$vpc" --query GroupId --output text)
for open in 80 443; do
  aws ec2 authorize-security-group-ingress --group-id "$front" --protocol tcp --port $open --cidr 0.0.0.0/0 --query Return
done
aws ec2 authorize-security-group-ingress --group-id "$back" --protocol tcp --port 80 --source-group "$front" --query Return

echo "== two Fargate tasks, three tasks on the instance"
read -ra fargate < <(aws ecs run-task --cluster $cluster --task-definition web --launch-type FARGATE --count 2 \
  --network-configuration "awsvpcConfiguration={subnets=[$subnet],securityGroups=[$back],assignPublicIp=ENABLED}" \
  --query 'tasks[].taskArn' --output text)
read -ra ec2 < <(aws ecs run-task --cluster $cluster --task-definition api --launch-type EC2 --count 3 \
  --query 'tasks[].taskArn' --output text)
aws ecs wait tasks-running --cluster $cluster --tasks "${fargate[@]}" "${ec2[@]}"

echo "== the load balancer"
balancer=$(aws elbv2 create-load-balancer --name demo --subnets $subnets --security-groups "$front" \
  --query 'LoadBalancers[0].LoadBalancerArn' --output text)
name=$(aws elbv2 describe-load-balancers --load-balancer-arns "$balancer" --query 'LoadBalancers[0].DNSName' --output text)
group() {
  aws elbv2 create-target-group --name "$1" --target-type "$2" --protocol HTTP --port 80 --vpc-id "$vpc" \
    --health-check-interval-seconds 5 --health-check-timeout-seconds 2 \
    --query 'TargetGroups[0].TargetGroupArn' --output text
}
web=$(group web ip)
api=$(group api instance)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=demo" \
  -addext "subjectAltName=DNS:$name,DNS:*.example.com" -keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>/dev/null
certificate=$(aws acm import-certificate --certificate "fileb://$scratch/cert.pem" --private-key "fileb://$scratch/key.pem" \
  --query CertificateArn --output text)
http=$(aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
  --default-actions "Type=forward,TargetGroupArn=$web" --query 'Listeners[0].ListenerArn' --output text)
https=$(aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTPS --port 443 \
  --certificates "CertificateArn=$certificate" \
  --default-actions "Type=forward,TargetGroupArn=$web" --query 'Listeners[0].ListenerArn' --output text)
for listener in "$http" "$https"; do
  aws elbv2 create-rule --listener-arn "$listener" --priority 10 --conditions "Field=path-pattern,Values=/api/*" \
    --actions "Type=forward,TargetGroupArn=$api" --query 'Rules[0].Priority' --output text
  aws elbv2 create-rule --listener-arn "$listener" --priority 20 --conditions "Field=host-header,Values=api.example.com" \
    --actions "Type=forward,TargetGroupArn=$api" --query 'Rules[0].Priority' --output text
done
aws elbv2 create-rule --listener-arn "$http" --priority 30 --conditions "Field=path-pattern,Values=/secret" \
  --actions 'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}' --query 'Rules[0].Priority' --output text
aws elbv2 wait load-balancer-available --load-balancer-arns "$balancer"

echo "== targets, by hand"
read -ra addresses < <(aws ecs describe-tasks --cluster $cluster --tasks "${fargate[@]}" --output text \
  --query "tasks[].attachments[0].details[?name=='privateIPv4Address'].value[]")
aws elbv2 register-targets --target-group-arn "$web" --targets "${addresses[@]/#/Id=}"
instance=$(aws ecs list-container-instances --cluster $cluster --query 'containerInstanceArns[0]' --output text)
instance=$(aws ecs describe-container-instances --cluster $cluster --container-instances "$instance" \
  --query 'containerInstances[0].ec2InstanceId' --output text)
# The instance's own group has to let the load balancer in at the ports that Docker gives away.
host=$(aws ec2 describe-instances --instance-ids "$instance" --output text \
  --query 'Reservations[0].Instances[0].SecurityGroups[0].GroupId')
dynamic=(--group-id "$host" --protocol tcp --port 32768-60999 --source-group "$front")
aws ec2 authorize-security-group-ingress "${dynamic[@]}" --query Return
read -ra ports < <(aws ecs describe-tasks --cluster $cluster --tasks "${ec2[@]}" --output text \
  --query 'tasks[].containers[0].networkBindings[0].hostPort')
aws elbv2 register-targets --target-group-arn "$api" --targets "${ports[@]/#/Id=$instance,Port=}"
aws elbv2 wait target-in-service --target-group-arn "$web"
aws elbv2 wait target-in-service --target-group-arn "$api"

echo "== requests"
# Through the one port by name; `boxship balancers` shows an address with the listeners' own ports, too.
ask() { curl --silent --show-error --fail --max-time 10 "$@"; }
many() { for _ in 1 2 3 4 5 6 7 8 9; do ask "$@"; done | sort -u; }
secure=(--cacert "$scratch/cert.pem" --connect-to "$name:443:127.0.0.1:$port")
echo "http:  $(many --connect-to "$name:80:127.0.0.1:$port" "http://$name/" | wc -l) of the web tasks answer"
echo "http:  $(many --connect-to "$name:80:127.0.0.1:$port" "http://$name/api/" | wc -l) of the api tasks answer under /api/"
echo "https: $(ask "${secure[@]}" "https://$name/")"
echo "https: $(ask "${secure[@]}" "https://$name/api/")"
echo "https: $(ask "${secure[@]}" --header 'Host: api.example.com' "https://$name/")"
echo "moved: $(curl --silent --output /dev/null --write-out '%{http_code} %{redirect_url}' \
  --connect-to "$name:80:127.0.0.1:$port" "http://$name/secret")"

echo "== a target leaves"
aws elbv2 modify-target-group-attributes --target-group-arn "$web" --query 'Attributes[0].Key' --output text \
  --attributes Key=deregistration_delay.timeout_seconds,Value=2
aws elbv2 deregister-targets --target-group-arn "$web" --targets "Id=${addresses[0]}"
aws elbv2 wait target-deregistered --target-group-arn "$web" --targets "Id=${addresses[0]}"
echo "http:  $(many --connect-to "$name:80:127.0.0.1:$port" "http://$name/" | wc -l) of the web tasks answers"

echo "== and all of it goes"
aws elbv2 delete-load-balancer --load-balancer-arn "$balancer"
aws elbv2 wait load-balancers-deleted --load-balancer-arns "$balancer"
aws elbv2 delete-target-group --target-group-arn "$web"
aws elbv2 delete-target-group --target-group-arn "$api"
aws acm delete-certificate --certificate-arn "$certificate"
for task in "${fargate[@]}" "${ec2[@]}"; do
  aws ecs stop-task --cluster $cluster --task "$task" --query task.desiredStatus --output text
done
aws ecs wait tasks-stopped --cluster $cluster --tasks "${fargate[@]}" "${ec2[@]}"
aws ec2 revoke-security-group-ingress "${dynamic[@]}" --query Return
for group in "$back" "$front"; do
  aws ec2 delete-security-group --group-id "$group" --query Return
done
