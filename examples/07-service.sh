#!/usr/bin/env bash
# Scenario 7: a Fargate task definition with half a vCPU and 1 GB, the execution role made where it is
# missing; a service of it with a new security group, an Application Load Balancer and a target group.
# Needs the AWS CLI and curl, `boxship up`, and `eval "$(boxship env)"`.
# IMAGE names an image whose program listens on port 80.
set -euo pipefail
image=${IMAGE:-nginxdemos/hello}
cluster=DemoCluster
port=${AWS_ENDPOINT_URL##*:}

echo "== cluster, role, task definition"
aws ecs create-cluster --cluster-name $cluster --query cluster.status --output text
if ! aws iam get-role --role-name ecsTaskExecutionRole >/dev/null 2>&1; then
  aws iam create-role --role-name ecsTaskExecutionRole --query Role.Arn --output text \
    --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
  aws iam attach-role-policy --role-name ecsTaskExecutionRole \
    --policy-arn arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy
fi
role=$(aws iam get-role --role-name ecsTaskExecutionRole --query Role.Arn --output text)
aws ecs register-task-definition --family nginxdemos-hello --requires-compatibilities FARGATE --network-mode awsvpc \
  --cpu 512 --memory 1024 --execution-role-arn "$role" --query taskDefinition.taskDefinitionArn --output text \
  --container-definitions "[{\"name\":\"hello\",\"image\":\"$image\",\"portMappings\":[{\"containerPort\":80}],
    \"logConfiguration\":{\"logDriver\":\"awslogs\",\"options\":{\"awslogs-group\":\"/ecs/nginxdemos-hello\",
      \"awslogs-region\":\"${AWS_REGION:-us-east-1}\",\"awslogs-stream-prefix\":\"ecs\",\"awslogs-create-group\":\"true\"}}}]"

echo "== security groups, load balancer, target group"
vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId' --output text)
front=$(aws ec2 create-security-group --group-name hello-front --description "the load balancer" --vpc-id "$vpc" --query GroupId --output text)
back=$(aws ec2 create-security-group --group-name hello-back --description "the tasks" --vpc-id "$vpc" --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id "$front" --protocol tcp --port 80 --cidr 0.0.0.0/0 --query Return
aws ec2 authorize-security-group-ingress --group-id "$back" --protocol tcp --port 80 --source-group "$front" --query Return
# shellcheck disable=SC2086
balancer=$(aws elbv2 create-load-balancer --name hello --security-groups "$front" --subnets $subnets \
  --query 'LoadBalancers[0].LoadBalancerArn' --output text)
group=$(aws elbv2 create-target-group --name hello --protocol HTTP --port 80 --target-type ip --vpc-id "$vpc" \
  --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text)
aws elbv2 modify-target-group-attributes --target-group-arn "$group" --query 'Attributes[0].Key' --output text \
  --attributes Key=deregistration_delay.timeout_seconds,Value=5
aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
  --default-actions "Type=forward,TargetGroupArn=$group" --query 'Listeners[0].Protocol' --output text

echo "== the service"
aws ecs create-service --cluster $cluster --service-name hello --task-definition nginxdemos-hello --desired-count 1 \
  --launch-type FARGATE --health-check-grace-period-seconds 30 \
  --load-balancers "targetGroupArn=$group,containerName=hello,containerPort=80" \
  --network-configuration "awsvpcConfiguration={subnets=[${subnets//[[:space:]]/,}],securityGroups=[$back],assignPublicIp=ENABLED}" \
  --query service.status --output text
aws ecs wait services-stable --cluster $cluster --services hello
aws elbv2 wait target-in-service --target-group-arn "$group"
name=$(aws elbv2 describe-load-balancers --load-balancer-arns "$balancer" --query 'LoadBalancers[0].DNSName' --output text)
# Through the one port by name; in a browser: http://$name:$port/
curl --silent --show-error --fail --connect-to "$name:80:127.0.0.1:$port" "http://$name/"
