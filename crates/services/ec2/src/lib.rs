//! service-ec2
