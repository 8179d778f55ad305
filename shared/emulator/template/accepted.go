package template

// The types that are emulated.
const (
	typeFunction = "AWS::Serverless::Function"
	typeHTTPAPI  = "AWS::Serverless::HttpApi"
	typeQueue    = "AWS::SQS::Queue"
	typeTable    = "AWS::DynamoDB::Table"
	typeMapping  = "AWS::Lambda::EventSourceMapping"
	typeURL      = "AWS::Lambda::Url"         // SAM makes one from a function's FunctionUrlConfig
	typeStage    = "AWS::ApiGatewayV2::Stage" // SAM makes one from an HTTP API
)

// typeStreamMapping is what the tables below call a typeMapping from a table's stream.
const typeStreamMapping = typeMapping + " DynamoDB"

// Types that are not emulated, but that code can reach, and what belongs to them.
const (
	typeTopic        = "AWS::SNS::Topic"
	typeSubscription = "AWS::SNS::Subscription"
	typeBucket       = "AWS::S3::Bucket"
	typeSecret       = "AWS::SecretsManager::Secret" //nolint:gosec // a type's name
	typeSSMParameter = "AWS::SSM::Parameter"
	typeKey          = "AWS::KMS::Key"
	typeKeyAlias     = "AWS::KMS::Alias"
	typeUserPool     = "AWS::Cognito::UserPool"
)

// externals are the types of an [External], each with the properties that are passed on.
// The others are in [accepted].
//
//nolint:gochecknoglobals // a table, never written
var externals = map[string][]string{
	typeTopic: {
		"ContentBasedDeduplication", "DeliveryPolicy", "DisplayName", "FifoThroughputScope", "FifoTopic", "TopicName",
	},
	typeBucket: {
		"BucketName", "CorsConfiguration", "ObjectLockEnabled", "VersioningConfiguration",
	},
	typeSecret:       {"GenerateSecretString", "Name", "SecretString"},
	typeSSMParameter: {"AllowedPattern", "Name", "Tier", "Type", "Value"},
	typeKey:          {"Enabled", "KeySpec", "KeyUsage", "MultiRegion", "Origin"},
	typeKeyAlias:     {"AliasName", "TargetKeyId"},
	typeUserPool: {
		"AccountRecoverySetting", "AdminCreateUserConfig", "AliasAttributes", "AutoVerifiedAttributes",
		"DeviceConfiguration", "EmailAuthenticationMessage", "EmailAuthenticationSubject", "EmailConfiguration",
		"EmailVerificationMessage", "EmailVerificationSubject", "EnabledMfas", "MfaConfiguration", "Policies", "Schema",
		"SmsAuthenticationMessage", "SmsConfiguration", "SmsVerificationMessage", "UserAttributeUpdateSettings",
		"UserPoolAddOns", "UserPoolName", "UserPoolTier", "UsernameAttributes", "UsernameConfiguration",
		"VerificationMessageTemplate", "WebAuthnFactorConfiguration", "WebAuthnRelyingPartyID",
		"WebAuthnUserVerification",
	},
}

// Reasons why something has no effect locally that a handler or its caller could see.
const (
	noIAM      = "there is no IAM locally: everything is allowed"
	noMetrics  = "nothing is measured or alarmed locally"
	noLogs     = "logs go to the terminal"
	noCrypto   = "data at rest is the developer's own disk"
	noTags     = "tags and descriptions are for people"
	noDeploy   = "nothing is deployed or released in steps locally"
	noTracing  = "there is no X-Ray locally"
	noIdentity = "tokens come from the issuer that the runner is given"
	noBackup   = "nothing is backed up locally"
	noMail     = "nobody is notified locally"
	noDomain   = "the API is reached at its local address"
	noDelivery = "a schedule always reaches its function's queue of events locally"
	noMetadata = "nothing here reads it"
	noRotation = "nothing is rotated locally"
	noReplicas = "there is one region locally"
	noCapacity = "it affects only speed and cost"
	noImages   = "container images are not run"
	noMake     = "only a build with make uses it"
	noRunner   = "it is for another tool"
)

// acceptedTypes are the resource types that are skipped, each with the reason.
//
//nolint:gochecknoglobals // a table, never written
var acceptedTypes = map[string]string{
	"AWS::IAM::Role":                      noIAM,
	"AWS::IAM::Policy":                    noIAM,
	"AWS::IAM::RolePolicy":                noIAM,
	"AWS::IAM::ManagedPolicy":             noIAM,
	"AWS::Lambda::Permission":             noIAM,
	"AWS::SQS::QueuePolicy":               noIAM,
	"AWS::SQS::QueueInlinePolicy":         noIAM,
	"AWS::SNS::TopicPolicy":               noIAM,
	"AWS::SNS::TopicInlinePolicy":         noIAM,
	"AWS::S3::BucketPolicy":               noIAM,
	"AWS::SecretsManager::ResourcePolicy": noIAM,
	"AWS::Logs::ResourcePolicy":           noIAM,
	"AWS::Serverless::Connector":          noIAM,

	"AWS::SecretsManager::RotationSchedule": noRotation,

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

	// Those that don't notify people are refused (external.go).
	typeSubscription: noMail,

	"AWS::Backup::BackupPlan":      noBackup,
	"AWS::Backup::BackupSelection": noBackup,
	"AWS::Backup::BackupVault":     noBackup,

	"AWS::ApplicationAutoScaling::ScalableTarget": noMetrics,
	"AWS::ApplicationAutoScaling::ScalingPolicy":  noMetrics,

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
		"AWSTemplateFormatVersion": "there is one version", "Description": noTags,
		"Rules": "they check parameters at deployment",
	},
	"parameter": {"Description": noTags},
	"output":    {"Export": "there are no other stacks locally"},
	"resource": {
		"Connectors": noIAM, "DeletionPolicy": noDeploy, "DependsOn": noDeploy, "UpdatePolicy": noDeploy,
		"UpdateReplacePolicy": noDeploy,
	},
	"metadata": { // a function's; any other key is named, too
		"ContextPath": noMake, "ProjectRootDirectory": noMake, "WorkingDirectory": noMake,
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
		"ProvisionedPollerConfig": noCapacity,
	},
	typeFunction + " Events DynamoDB": {"KmsKeyArn": noCrypto, "MetricsConfig": noMetrics},
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
		"ProvisionedPollerConfig": noCapacity,
	},
	typeStreamMapping: {"KmsKeyArn": noCrypto, "MetricsConfig": noMetrics, "Tags": noTags},
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
	typeTable: {
		"ContributorInsightsSpecification": noMetrics, "DeletionProtectionEnabled": noDeploy,
		"KinesisStreamSpecification":       "there are no Kinesis streams locally",
		"PointInTimeRecoverySpecification": noBackup, "ResourcePolicy": noIAM, "SSESpecification": noCrypto,
		"OnDemandThroughput": noCapacity, "TableClass": noCapacity, "WarmThroughput": noCapacity, "Tags": noTags,
	},
	typeTable + " StreamSpecification": {"ResourcePolicy": noIAM},
	typeTopic: {
		"ArchivePolicy": noBackup, "DataProtectionPolicy": noIAM, "DeliveryStatusLogging": noLogs,
		"KmsMasterKeyId": noCrypto, "SignatureVersion": noMail, "Subscription": noMail, "Tags": noTags,
		"TracingConfig": noTracing,
	},
	typeBucket: {
		"AbacStatus": noIAM, "AccessControl": noIAM, "OwnershipControls": noIAM, "PublicAccessBlockConfiguration": noIAM,
		"AnalyticsConfigurations": noMetrics, "InventoryConfigurations": noMetrics, "MetricsConfigurations": noMetrics,
		"MetadataConfiguration": noMetrics, "MetadataTableConfiguration": noMetrics,
		"BucketEncryption": noCrypto, "LoggingConfiguration": noLogs, "ReplicationConfiguration": noReplicas,
		"IntelligentTieringConfigurations": noCapacity, "AccelerateConfiguration": noCapacity,
		"LifecycleConfiguration":    "nothing expires locally",
		"NotificationConfiguration": "a bucket's events call nothing locally",
		"ObjectLockConfiguration":   "nothing is retained locally",
		"WebsiteConfiguration":      "no bucket is served as a website locally",
		"Tags":                      noTags,
	},
	typeSecret: {
		"Description": noTags, "KmsKeyId": noCrypto, "ReplicaRegions": noReplicas, "Tags": noTags,
		"Type": noRotation, // of a secret that a partner's service rotates
	},
	typeSSMParameter: {
		"DataType": "values are not checked locally", "Description": noTags, "Policies": "nothing expires locally",
		"Tags": noTags,
	},
	typeKey: {
		"BypassPolicyLockoutSafetyCheck": noIAM, "KeyPolicy": noIAM, "Description": noTags, "Tags": noTags,
		"EnableKeyRotation": noRotation, "RotationPeriodInDays": noRotation, "PendingWindowInDays": noDeploy,
	},
	typeUserPool: {
		"DeletionProtection": noDeploy, "UserPoolTags": noTags,
		"LambdaConfig": "a user pool's triggers call nothing locally",
	},
}

// Reasons why properties of both kinds of mapping from a stream are not supported.
const (
	noTimes    = "a table's stream is read from its beginning or its end"
	noTumbling = "functions that keep state over a window are not emulated"
)

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
	typeFunction + " Events DynamoDB": {"StartingPositionTimestamp": noTimes, "TumblingWindowInSeconds": noTumbling},
	typeStreamMapping:                 {"StartingPositionTimestamp": noTimes, "TumblingWindowInSeconds": noTumbling},
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
