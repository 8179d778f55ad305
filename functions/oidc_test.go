package functions_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDeployerRole: the role that GitHub assumes can make all that the template has, cannot make
// a role that may do more than the functions, and is assumed from one environment alone.
func TestDeployerRole(t *testing.T) {
	t.Parallel()
	roles := deployerRoles(t)
	for role, environment := range map[string]string{"DeployRole": "${Env}", "ReviewRole": "${Env}-review"} {
		var conditions []any
		walk(roles[role]["AssumeRolePolicyDocument"], func(m map[string]any) {
			if c, ok := m["StringEquals"].(map[string]any); ok {
				conditions = append(conditions, c)
			}
		})
		want := fmt.Sprint([]any{map[string]any{
			"token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
			"token.actions.githubusercontent.com:sub": "repo:${Repository}:environment:" + environment,
		}})
		if got := fmt.Sprint(conditions); got != want {
			t.Errorf("%s is assumed on %s, want %s", role, got, want)
		}
		if name := fmt.Sprint(roles[role]["RoleName"]); strings.HasPrefix(name, "${Stack}-") {
			t.Errorf("%s is called %s, as the stack's own roles, which it can change", role, name)
		}
	}
	if attached := fmt.Sprint(roles["ReviewRole"]["ManagedPolicyArns"]); attached != "[Show]" {
		t.Errorf("who shows a change set has %s", attached)
	}

	var allowed []string
	for _, policy := range []string{"Show", "Deploy", "DeployAround"} {
		document := roles[policy]["PolicyDocument"]
		// "IAM and AWS STS quotas": 6,144 characters. What is substituted is longer than its name by some.
		if compact, err := json.Marshal(document); err != nil || len(compact) > 6144 {
			t.Errorf("%s has %d characters, %v", policy, len(compact), err)
		}
		walk(document, func(m map[string]any) {
			list, _ := m["Action"].([]any)
			for _, action := range list {
				name := fmt.Sprint(action)
				allowed = append(allowed, name)
				if strings.Contains(name, "*") {
					t.Errorf("%s allows %s", policy, name)
				}
				switch name {
				case "iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary":
					if equals := fmt.Sprint(m["Condition"]); !strings.Contains(equals, "StringEquals:map[iam:PermissionsBoundary:Boundary]") {
						t.Errorf("%s allows %s on %s, without the boundary", policy, name, equals)
					}
				case "dynamodb:DeleteTable", "cognito-idp:DeleteUserPool", "iam:DeleteRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy":
					t.Errorf("%s allows %s", policy, name)
				}
			}
		})
	}
	makes := map[string][]string{
		"AWS::Serverless::HttpApi": {"apigateway:POST", "apigateway:PUT", "logs:CreateLogDelivery"},
		"AWS::Serverless::Function": {
			"lambda:CreateFunction", "lambda:PublishVersion", "lambda:CreateAlias", "lambda:AddPermission", "iam:PassRole",
			"lambda:PutFunctionConcurrency", "lambda:PutFunctionRecursionConfig", "lambda:CreateFunctionUrlConfig",
			"lambda:CreateEventSourceMapping", "scheduler:CreateSchedule", "codedeploy:CreateApplication",
			"codedeploy:CreateDeploymentGroup", "codedeploy:CreateDeployment",
		},
		"AWS::IAM::Role":                       {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"},
		"AWS::SQS::Queue":                      {"sqs:CreateQueue"},
		"AWS::SQS::QueuePolicy":                {"sqs:SetQueueAttributes"},
		"AWS::DynamoDB::Table":                 {"dynamodb:CreateTable", "dynamodb:UpdateTimeToLive", "dynamodb:UpdateContinuousBackups"},
		"AWS::Cognito::UserPool":               {"cognito-idp:CreateUserPool"},
		"AWS::Cognito::UserPoolDomain":         {"cognito-idp:CreateUserPoolDomain"},
		"AWS::Cognito::UserPoolResourceServer": {"cognito-idp:CreateResourceServer"},
		"AWS::Cognito::UserPoolClient":         {"cognito-idp:CreateUserPoolClient"},
		"AWS::Logs::LogGroup":                  {"logs:CreateLogGroup", "logs:PutRetentionPolicy"},
		"AWS::SNS::Topic":                      {"sns:CreateTopic"},
		"AWS::SNS::Subscription":               {"sns:Subscribe"},
		"AWS::CloudWatch::Alarm":               {"cloudwatch:PutMetricAlarm"},
		"AWS::CloudWatch::Dashboard":           {"cloudwatch:PutDashboard"},
	}
	for name, r := range resources(t) {
		actions, known := makes[fmt.Sprint(r["Type"])]
		if !known {
			t.Errorf("%s is a %v: this test does not know what makes one", name, r["Type"])
		}
		for _, action := range actions {
			if !slices.Contains(allowed, action) {
				t.Errorf("%s can't be made without %s", name, action)
			}
		}
	}
}

// TestBoundary: what no role of the stack can exceed leaves each of them all that the template
// gives it.
func TestBoundary(t *testing.T) {
	t.Parallel()
	within := actions(deployerRoles(t)["Boundary"])
	for name, r := range resources(t) {
		if r["Type"] != "AWS::IAM::Role" {
			continue
		}
		for _, action := range actions(r) {
			if !slices.ContainsFunc(within, func(pattern string) bool { ok, _ := filepath.Match(pattern, action); return ok }) {
				t.Errorf("%s may %s, and the boundary takes it away", name, action)
			}
		}
	}
}

// TestReviewerMayCheck: who shows a change set may make every call of the check before it.
func TestReviewerMayCheck(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../deploy/preflight")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`\baws ([a-z]+) ([a-z-]+) `).FindAllStringSubmatch(string(script), -1)
	if len(calls) < 5 {
		t.Fatalf("it calls only %q", calls)
	}
	allowed := append(actions(deployerRoles(t)["Show"]), "sts:GetCallerIdentity") // nobody needs a permission for that
	for _, call := range calls {
		action := call[1] + ":"
		for word := range strings.SplitSeq(call[2], "-") {
			action += strings.ToUpper(word[:1]) + word[1:]
		}
		if !slices.Contains(allowed, action) {
			t.Errorf("it may not %s", action)
		}
	}
}

// deployerRoles returns the properties of the resources in deploy/github-oidc.yaml.
func deployerRoles(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile("../deploy/github-oidc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Resources map[string]struct {
			Properties map[string]any `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[string]any)
	for name, r := range root.Resources {
		all[name] = r.Properties
	}
	return all
}

// actions returns what the policies of a role, or a policy, allow, on whatever condition.
func actions(role map[string]any) (names []string) {
	walk(role, func(m map[string]any) {
		if m["Resource"] == nil {
			return // who may assume it
		}
		list, _ := m["Action"].([]any)
		for _, action := range list {
			names = append(names, fmt.Sprint(action))
		}
	})
	return names
}
