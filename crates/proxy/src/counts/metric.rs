//! The metrics by AWS's names.
//!
//! AWS: "CloudWatch metrics for your Application Load Balancer".

/// One metric that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Metric {
    ActiveConnectionCount,
    ClientTlsNegotiationErrorCount,
    DesyncMitigationModeNonCompliantRequestCount,
    DroppedInvalidHeaderRequestCount,
    ForwardedInvalidHeaderRequestCount,
    GrpcRequestCount,
    HttpFixedResponseCount,
    HttpRedirectCount,
    HttpRedirectUrlLimitExceededCount,
    HttpCodeElb3xx,
    HttpCodeElb4xx,
    HttpCodeElb5xx,
    HttpCodeElb500,
    HttpCodeElb502,
    HttpCodeElb503,
    HttpCodeElb504,
    Ipv6ProcessedBytes,
    Ipv6RequestCount,
    NewConnectionCount,
    NonStickyRequestCount,
    ProcessedBytes,
    RejectedConnectionCount,
    RequestCount,
    RuleEvaluations,
    HttpCodeTarget2xx,
    HttpCodeTarget3xx,
    HttpCodeTarget4xx,
    HttpCodeTarget5xx,
    TargetConnectionErrorCount,
    TargetTlsNegotiationErrorCount,
    UnhealthyRoutingRequestCount,
    HealthyHostCount,
    UnhealthyHostCount,
    AnomalousHostCount,
    MitigatedHostCount,
    HealthyStateDns,
    HealthyStateRouting,
    UnhealthyStateDns,
    UnhealthyStateRouting,
}

impl Metric {
    pub const ALL: [Metric; Metric::COUNT] = [
        Metric::ActiveConnectionCount,
        Metric::ClientTlsNegotiationErrorCount,
        Metric::DesyncMitigationModeNonCompliantRequestCount,
        Metric::DroppedInvalidHeaderRequestCount,
        Metric::ForwardedInvalidHeaderRequestCount,
        Metric::GrpcRequestCount,
        Metric::HttpFixedResponseCount,
        Metric::HttpRedirectCount,
        Metric::HttpRedirectUrlLimitExceededCount,
        Metric::HttpCodeElb3xx,
        Metric::HttpCodeElb4xx,
        Metric::HttpCodeElb5xx,
        Metric::HttpCodeElb500,
        Metric::HttpCodeElb502,
        Metric::HttpCodeElb503,
        Metric::HttpCodeElb504,
        Metric::Ipv6ProcessedBytes,
        Metric::Ipv6RequestCount,
        Metric::NewConnectionCount,
        Metric::NonStickyRequestCount,
        Metric::ProcessedBytes,
        Metric::RejectedConnectionCount,
        Metric::RequestCount,
        Metric::RuleEvaluations,
        Metric::HttpCodeTarget2xx,
        Metric::HttpCodeTarget3xx,
        Metric::HttpCodeTarget4xx,
        Metric::HttpCodeTarget5xx,
        Metric::TargetConnectionErrorCount,
        Metric::TargetTlsNegotiationErrorCount,
        Metric::UnhealthyRoutingRequestCount,
        Metric::HealthyHostCount,
        Metric::UnhealthyHostCount,
        Metric::AnomalousHostCount,
        Metric::MitigatedHostCount,
        Metric::HealthyStateDns,
        Metric::HealthyStateRouting,
        Metric::UnhealthyStateDns,
        Metric::UnhealthyStateRouting,
    ];
    pub(super) const COUNT: usize = 39;

    /// As CloudWatch has it.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::ActiveConnectionCount => "ActiveConnectionCount",
            Metric::ClientTlsNegotiationErrorCount => "ClientTLSNegotiationErrorCount",
            Metric::DesyncMitigationModeNonCompliantRequestCount => {
                "DesyncMitigationMode_NonCompliant_Request_Count"
            }
            Metric::DroppedInvalidHeaderRequestCount => "DroppedInvalidHeaderRequestCount",
            Metric::ForwardedInvalidHeaderRequestCount => "ForwardedInvalidHeaderRequestCount",
            Metric::GrpcRequestCount => "GrpcRequestCount",
            Metric::HttpFixedResponseCount => "HTTP_Fixed_Response_Count",
            Metric::HttpRedirectCount => "HTTP_Redirect_Count",
            Metric::HttpRedirectUrlLimitExceededCount => "HTTP_Redirect_Url_Limit_Exceeded_Count",
            Metric::HttpCodeElb3xx => "HTTPCode_ELB_3XX_Count",
            Metric::HttpCodeElb4xx => "HTTPCode_ELB_4XX_Count",
            Metric::HttpCodeElb5xx => "HTTPCode_ELB_5XX_Count",
            Metric::HttpCodeElb500 => "HTTPCode_ELB_500_Count",
            Metric::HttpCodeElb502 => "HTTPCode_ELB_502_Count",
            Metric::HttpCodeElb503 => "HTTPCode_ELB_503_Count",
            Metric::HttpCodeElb504 => "HTTPCode_ELB_504_Count",
            Metric::Ipv6ProcessedBytes => "IPv6ProcessedBytes",
            Metric::Ipv6RequestCount => "IPv6RequestCount",
            Metric::NewConnectionCount => "NewConnectionCount",
            Metric::NonStickyRequestCount => "NonStickyRequestCount",
            Metric::ProcessedBytes => "ProcessedBytes",
            Metric::RejectedConnectionCount => "RejectedConnectionCount",
            Metric::RequestCount => "RequestCount",
            Metric::RuleEvaluations => "RuleEvaluations",
            Metric::HttpCodeTarget2xx => "HTTPCode_Target_2XX_Count",
            Metric::HttpCodeTarget3xx => "HTTPCode_Target_3XX_Count",
            Metric::HttpCodeTarget4xx => "HTTPCode_Target_4XX_Count",
            Metric::HttpCodeTarget5xx => "HTTPCode_Target_5XX_Count",
            Metric::TargetConnectionErrorCount => "TargetConnectionErrorCount",
            Metric::TargetTlsNegotiationErrorCount => "TargetTLSNegotiationErrorCount",
            Metric::UnhealthyRoutingRequestCount => "UnhealthyRoutingRequestCount",
            Metric::HealthyHostCount => "HealthyHostCount",
            Metric::UnhealthyHostCount => "UnHealthyHostCount",
            Metric::AnomalousHostCount => "AnomalousHostCount",
            Metric::MitigatedHostCount => "MitigatedHostCount",
            Metric::HealthyStateDns => "HealthyStateDNS",
            Metric::HealthyStateRouting => "HealthyStateRouting",
            Metric::UnhealthyStateDns => "UnhealthyStateDNS",
            Metric::UnhealthyStateRouting => "UnhealthyStateRouting",
        }
    }

    /// `Bytes` or `Count`.
    pub const fn unit(self) -> &'static str {
        match self {
            Metric::ProcessedBytes | Metric::Ipv6ProcessedBytes => "Bytes",
            _ => "Count",
        }
    }

    /// Whether it goes down again.
    pub const fn is_level(self) -> bool {
        matches!(self, Metric::ActiveConnectionCount) || self.is_of_health()
    }

    /// Whether it says how targets stand when it is read: no worker counts it.
    pub const fn is_of_health(self) -> bool {
        self as usize >= Metric::HealthyHostCount as usize
    }
}
