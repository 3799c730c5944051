//! aws-sts
