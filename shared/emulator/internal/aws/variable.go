package aws

import (
	"regexp"
	"slices"
)

// variable is the pattern of the API's type Environment.
var variable = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// ValidVariable reports whether Lambda accepts name as that of an environment variable.
func ValidVariable(name string) bool { return variable.MatchString(name) }

// reserved are those of "Defined runtime environment variables", and the one that makes
// aws-lambda-go poll in parallel, which only Lambda Managed Instances set.
//
//nolint:gochecknoglobals // a table, never written
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_MAX_CONCURRENCY", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// ReservedVariable reports whether a variable is set by Lambda, so that a function can't
// set it.
func ReservedVariable(name string) bool { return slices.Contains(reserved, name) }
