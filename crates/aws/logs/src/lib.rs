//! aws-logs
