package template

// The types that are emulated.
const (
	typeFunction = "AWS::Serverless::Function"
	typeHTTPAPI  = "AWS::Serverless::HttpApi"
	typeQueue    = "AWS::SQS::Queue"
	typeTable    = "AWS::DynamoDB::Table"
	typeMapping  = "AWS::Lambda::EventSourceMapping"
	typeURL      = "AWS::Lambda::Url" // SAM makes one from a function's FunctionUrlConfig
)

// Reasons why something has no effect locally that a handler or its caller could see.
const (
	noIAM       = "there is no IAM locally: everything is allowed"
	noMetrics   = "nothing is measured or alarmed locally"
	noLogs      = "logs go to the terminal"
	noCrypto    = "data at rest is the developer's own disk"
	noTags      = "tags and descriptions are for people"
	noDeploy    = "nothing is deployed or released in steps locally"
	noTracing   = "there is no X-Ray locally"
	noIdentity  = "tokens come from the issuer that the runner is given"
	noBackup    = "nothing is backed up locally"
	noAlarmMail = "no alarm is raised that could notify anybody"
	noDomain    = "the API is reached at its local address"
	noImages    = "container images are not run"
	noMake      = "only a build with make uses it"
	noRunner    = "it is for another tool"
	noDelivery  = "a schedule always reaches its function's queue of events locally"
)

// acceptedTypes are the resource types that are skipped, each with the reason.
//
//nolint:gochecknoglobals // a table, never written
var acceptedTypes = map[string]string{
	"AWS::IAM::Role":             noIAM,
	"AWS::IAM::Policy":           noIAM,
	"AWS::IAM::RolePolicy":       noIAM,
	"AWS::IAM::ManagedPolicy":    noIAM,
	"AWS::Lambda::Permission":    noIAM,
	"AWS::SQS::QueuePolicy":      noIAM,
	"AWS::SNS::TopicPolicy":      noIAM,
	"AWS::Logs::ResourcePolicy":  noIAM,
	"AWS::Serverless::Connector": noIAM,

	"AWS::Logs::LogGroup":                   noLogs,
	"AWS::Logs::QueryDefinition":            noLogs,
	"AWS::Logs::MetricFilter":               noMetrics,
	"AWS::CloudWatch::Alarm":                noMetrics,
	"AWS::CloudWatch::CompositeAlarm":       noMetrics,
	"AWS::CloudWatch::AnomalyDetector":      noMetrics,
	"AWS::CloudWatch::Dashboard":            noMetrics,
	"AWS::Budgets::Budget":                  noMetrics,
	"AWS::ApplicationInsights::Application": noMetrics,
	"AWS::ResourceGroups::Group":            noTags,
	"AWS::XRay::Group":                      noTracing,
	"AWS::XRay::SamplingRule":               noTracing,

	// A topic's own Subscription and AWS::SNS::Subscription are checked: only those that
	// notify people have no effect (read.go).
	"AWS::SNS::Topic":        noAlarmMail,
	"AWS::SNS::Subscription": noAlarmMail,

	"AWS::KMS::Key":   noCrypto,
	"AWS::KMS::Alias": noCrypto,

	"AWS::Backup::BackupPlan":      noBackup,
	"AWS::Backup::BackupSelection": noBackup,
	"AWS::Backup::BackupVault":     noBackup,

	"AWS::ApplicationAutoScaling::ScalableTarget": noMetrics,
	"AWS::ApplicationAutoScaling::ScalingPolicy":  noMetrics,

	"AWS::Cognito::UserPool":               noIdentity,
	"AWS::Cognito::UserPoolClient":         noIdentity,
	"AWS::Cognito::UserPoolDomain":         noIdentity,
	"AWS::Cognito::UserPoolGroup":          noIdentity,
	"AWS::Cognito::UserPoolResourceServer": noIdentity,
	"AWS::Cognito::UserPoolUser":           noIdentity,

	"AWS::CertificateManager::Certificate": noDomain,
	"AWS::Route53::RecordSet":              noDomain,
}

// accepted are the properties of emulated types that are skipped, by type (or a part of
// one), each with the reason.
//
//nolint:gochecknoglobals // a table, never written
var accepted = map[string]map[string]string{
	"template": {
		"AWSTemplateFormatVersion": "there is one version", "Description": noTags, "Metadata": noTags,
		"Outputs": noDeploy, "Rules": "they check parameters at deployment",
	},
	"resource": {
		"Connectors": noIAM, "DeletionPolicy": noDeploy, "DependsOn": noDeploy, "UpdatePolicy": noDeploy,
		"UpdateReplacePolicy": noDeploy,
	},
	"metadata": { // a function's; any other key is named, too
		"BuildProperties": "make takes no build properties",
		"ContextPath":     noMake, "ProjectRootDirectory": noMake, "WorkingDirectory": noMake,
		"DockerBuildArgs": noImages, "DockerBuildTarget": noImages, "DockerContext": noImages, "Dockerfile": noImages, "DockerTag": noImages,
		"aws:cdk:path": noRunner, "cfn-lint": noRunner, "cfn_nag": noRunner, "checkov": noRunner, "guard": noRunner, "SamResourceId": noRunner,
	},
	typeFunction: {
		"AssumeRolePolicyDocument": noIAM, "PermissionsBoundary": noIAM, "Policies": noIAM, "Role": noIAM, "RolePath": noIAM,
		"CodeSigningConfigArn": noIAM, "KmsKeyArn": noCrypto, "SourceKMSKeyArn": noCrypto,
		"Description": noTags, "PropagateTags": noTags, "Tags": noTags, "VersionDescription": noTags,
		"Tracing":                       noTracing,
		"AutoPublishAliasAllProperties": noDeploy, "AutoPublishCodeSha256": noDeploy, "DeploymentPreference": noDeploy,
		"PublishToLatestPublished": noDeploy, "VersionDeletionPolicy": noDeploy,
		"EphemeralStorage":             "/tmp is the machine's own disk",
		"FunctionScalingConfig":        "only capacity providers use it",
		"ProvisionedConcurrencyConfig": "it saves cold starts, which can't be seen here",
		"RecursiveLoop":                "loops are not detected locally",
		"RuntimeManagementConfig":      "the runtime is the machine's own",
	},
	typeFunction + " LoggingConfig": {"SystemLogLevel": noLogs},
	typeFunction + " Events SQS": {
		"KmsKeyArn": noCrypto, "MetricsConfig": noMetrics, "LoggingConfig": noLogs,
		"ProvisionedPollerConfig": "it affects only speed",
	},
	typeFunction + " Events Schedule": {
		"DeadLetterConfig": noDelivery, "Description": noTags, "RetryPolicy": noDelivery,
	},
	typeFunction + " Events ScheduleV2": {
		"DeadLetterConfig": noDelivery, "Description": noTags, "KmsKeyArn": noCrypto, "PermissionsBoundary": noIAM,
		"RetryPolicy": noDelivery, "RoleArn": noIAM,
	},
	typeFunction + " Events HttpApi": {"Stage": "an API has one stage"},
	typeMapping: {
		"KmsKeyArn": noCrypto, "MetricsConfig": noMetrics, "LoggingConfig": noLogs, "Tags": noTags,
		"ProvisionedPollerConfig": "it affects only speed",
	},
	typeHTTPAPI: {
		"AccessLogSettings": noLogs, "Description": noTags, "Name": noTags, "PropagateTags": noTags, "Tags": noTags,
		"FailOnWarnings": noDeploy, "Domain": noDomain, "DisableExecuteApiEndpoint": noDomain,
	},
	typeHTTPAPI + " RouteSettings": {
		"DataTraceEnabled": noLogs, "DetailedMetricsEnabled": noMetrics, "LoggingLevel": noLogs,
	},
	typeQueue: {
		"KmsDataKeyReusePeriodSeconds": noCrypto, "KmsMasterKeyId": noCrypto, "SqsManagedSseEnabled": noCrypto,
		"Tags": noTags,
	},
}

// refused says why properties that exist are not supported. One that is in no list is
// refused too.
//
//nolint:gochecknoglobals // a table, never written
var refused = map[string]map[string]string{
	typeFunction: {
		"CapacityProviderConfig": "there are no capacity providers locally",
		"DeadLetterQueue":        "its messages have attributes, which local queues don't keep; OnFailure of EventInvokeConfig is emulated",
		"DurableConfig":          "durable functions are not emulated",
		"FileSystemConfigs":      "there are no EFS mounts locally",
		"ImageConfig":            "container images are not run",
		"ImageUri":               "container images are not run",
		"InlineCode":             "a Go program can't be written inline",
		"Layers":                 "layers are not loaded",
		"SnapStart":              "there is no SnapStart for Go",
		"TenancyConfig":          "tenant isolation is not emulated",
		"VpcConfig":              "there are no VPCs locally",
	},
	typeHTTPAPI: {
		"DefinitionBody": "write the routes as HttpApi events of the functions",
		"DefinitionUri":  "write the routes as HttpApi events of the functions",
	},
	typeHTTPAPI + " Authorizer": {
		"FunctionArn": "Lambda authorizers are not emulated",
	},
	typeQueue: {
		"ContentBasedDeduplication": "FIFO queues are not emulated",
		"DeduplicationScope":        "FIFO queues are not emulated",
		"FifoThroughputLimit":       "FIFO queues are not emulated",
	},
	typeTable:  {"ImportSourceSpecification": "nothing is imported from S3 locally"},
	"template": {"Hooks": "there are no CodeDeploy hooks locally"},
}
