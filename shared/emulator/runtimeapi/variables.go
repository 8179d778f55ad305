package runtimeapi

import (
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"paylane/shared/emulator/internal/aws"
)

// variables returns all environment variables of an environment's process, as
// "name=value": those of provided.al2023, which does not set AWS_EXECUTION_ENV, and the
// template's. X-Ray's daemon would run on this machine, if at all.
func (c *Config) variables(address, binary string) []string {
	taskRoot := filepath.Dir(binary)
	all := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     aws.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       c.Logging.Group,
		"AWS_LAMBDA_LOG_STREAM_NAME":      c.logStream(),
		"AWS_LAMBDA_RUNTIME_API":          address,
		"AWS_REGION":                      c.Region,
		"AWS_DEFAULT_REGION":              c.Region,
		"AWS_ACCESS_KEY_ID":               c.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":           c.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN":               c.Credentials.SessionToken,
		"AWS_XRAY_CONTEXT_MISSING":        "LOG_ERROR",
		"AWS_XRAY_DAEMON_ADDRESS":         "127.0.0.1:2000",
		"_AWS_XRAY_DAEMON_ADDRESS":        "127.0.0.1",
		"_AWS_XRAY_DAEMON_PORT":           "2000",
		"LAMBDA_TASK_ROOT":                taskRoot,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"_HANDLER":                        c.Handler,
		"TZ":                              ":UTC",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:" +
			taskRoot + ":" + taskRoot + "/lib:/opt/lib",
	}
	maps.Copy(all, c.Environment)
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}

// logStream returns the name of a new environment's log stream, such as
// "2026/07/10/[$LATEST]b33e12be6c054d53918d3142fbea7cef".
func (c *Config) logStream() string {
	day := c.Now().UTC().Format("2006/01/02")
	return day + "/[" + aws.Version + "]" + strings.ReplaceAll(aws.UUID(c.Random), "-", "")
}
