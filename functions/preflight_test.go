package functions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPreflight: the check before a deployment names what the account lacks, by the answers of
// an AWS CLI that this test wrote.
func TestPreflight(t *testing.T) {
	const secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:stripe-AbCdEf"
	for _, tt := range []preflight{
		{name: "dev in a new account", environment: "dev", limit: "100"},
		{name: "prod as it is", environment: "prod", limit: "1000", fails: []string{"the gateway is the simulator", "set AlarmEmail or AlarmTopicArn"}},
		{name: "prod in a new account", environment: "prod", limit: "10", fails: []string{
			"Lambda runs 10 functions at a time: 815 are needed", "the gateway is the simulator", "set AlarmEmail or AlarmTopicArn"}},
		{name: "prod with all that is needed", environment: "prod", limit: "1000",
			change: []string{"Patience: 21600", "Patience: 21600\nGateway: stripe\nGatewaySecretArn: " + secret + "\nAlarmEmail: ops@shop.example"}},
		{name: "prod whose mail was not confirmed", environment: "prod", limit: "1000", topic: "arn:aws:sns:topic", told: "0",
			change: []string{"Patience: 21600", "Patience: 21600\nGateway: stripe\nGatewaySecretArn: " + secret + "\nAlarmEmail: ops@shop.example"},
			fails:  []string{"no subscription of arn:aws:sns:topic is confirmed"}},
		{name: "a reserve below the batches", environment: "prod", limit: "1000", topic: "arn:aws:sns:topic", told: "1",
			change: []string{"PaymentReserve: 110", "PaymentReserve: 100\nGateway: stripe\nGatewaySecretArn: " + secret}, fails: []string{"PaymentReserve must be more"}},
		{name: "the longest name", environment: "dev", limit: "100", change: []string{"paylane-dev", strings.Repeat("a", 49)}},
		{name: "a name too long for the smoke test's", environment: "dev", limit: "100",
			change: []string{"paylane-dev", strings.Repeat("a", 50)}, fails: []string{"up to 48"}},
		{name: "a name that CloudFormation refuses", environment: "dev", limit: "100",
			change: []string{"paylane-dev", "pay_lane"}, fails: []string{"pay_lane in samconfig.toml"}},
		{name: "a name that Cognito refuses", environment: "dev", limit: "100",
			change: []string{"paylane-dev", "Paylane"}, fails: []string{"would begin with Paylane"}},
		{name: "such a name, with a domain of its own", environment: "dev", limit: "100",
			change: []string{"paylane-dev", "paylane-on-aws", "Stage: dev", "Stage: dev\nAuthDomain: shop"}},
		{name: "such a name, with another issuer", environment: "dev", limit: "100",
			change: []string{"paylane-dev", "Paylane", "Stage: dev", "Stage: dev\nAuthMode: oidc"}},
		{name: "a domain that Cognito refuses", environment: "dev", limit: "100",
			change: []string{"Stage: dev", "Stage: dev\nAuthDomain: shop-aws"}, fails: []string{"would begin with shop-aws"}},
		{name: "prod with a topic of its own", environment: "prod", limit: "1000", told: "2",
			change: []string{"Patience: 21600", "Patience: 21600\nGateway: stripe\nGatewaySecretArn: " + secret + "\nAlarmTopicArn: arn:aws:sns:us-east-1:123456789012:pager"}},
		{name: "prod with a topic that is not there", environment: "prod", limit: "1000", told: "An error: NotFound",
			change: []string{"Patience: 21600", "Patience: 21600\nGateway: stripe\nGatewaySecretArn: " + secret + "\nAlarmTopicArn: arn:aws:sns:us-east-1:123456789012:pager"},
			fails:  []string{"arn:aws:sns:us-east-1:123456789012:pager can't be read in us-east-1: An error: NotFound"}},
		{name: "no credentials", environment: "prod", refuse: "Unable to locate credentials", fails: []string{"Unable to locate credentials"}},
	} {
		t.Run(tt.name, tt.run)
	}
}

// TestPreflightOfTheKey: a key that the functions could not read is refused before the
// deployment, and not read for that.
func TestPreflightOfTheKey(t *testing.T) {
	const (
		secret    = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
		parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/"
		there     = secret + "stripe-AbCdEf"
	)
	for _, tt := range []struct {
		name, arn, kmsKey string
		fails             string // empty if it doesn't
	}{
		{"without the key", "", "", "set GatewaySecretArn in deploy/dev.yaml"},
		{"a secret", there, "", ""},
		{"a secret that is not there", secret + "gone-AbCdEf", "", "stripe: ResourceNotFoundException"},
		{"a secret that is being deleted", secret + "deleted-AbCdEf", "", "is being deleted"},
		{"a secret by half its ARN", secret + "stripe", "", "its whole ARN, " + there},
		{"a secret with a key of its own", secret + "sealed-AbCdEf", "", "its key " + ownKey + " must be KmsKeyArn"},
		{"a secret with another key than the stack's", secret + "sealed-AbCdEf", ownKey + "2", "must be KmsKeyArn"},
		{"a secret with the stack's key", secret + "sealed-AbCdEf", ownKey, ""},
		{"a secret whose key goes by another name", secret + "alias-AbCdEf", "", "alias/shop must be KmsKeyArn"},
		{"a secret whose key is the stack's by another name", secret + "alias-AbCdEf", ownKey, ""},
		{"a secret elsewhere", strings.Replace(there, "us-east-1", "eu-west-1", 1), "", "in us-east-1"},
		{"a SecureString", parameter + "stripe", "", ""},
		{"a SecureString elsewhere", strings.Replace(parameter+"stripe", "us-east-1", "eu-west-1", 1), "", "in us-east-1"},
		{"a SecureString in a folder", parameter + "shop/stripe", "", ""},
		{"a SecureString with a key of its own", parameter + "sealed", "", "its key own must be KmsKeyArn"},
		{"a SecureString with the stack's key", parameter + "sealed", ownKey, ""},
		{"a parameter that anyone can read", parameter + "open", "", "is a String: store it as a SecureString"},
		{"a parameter that is not there", parameter + "none", "", "there is no parameter " + parameter + "none"},
		{"a parameter that can't be described", parameter + "forbidden", "", "stripe: AccessDeniedException"},
		{"no ARN", "stripe", "", "must be the ARN of a secret, or of a parameter, in us-east-1, and is stripe"},
	} {
		set := "Stage: dev\nGateway: stripe"
		if tt.arn != "" {
			set += "\nGatewaySecretArn: " + tt.arn
		}
		if tt.kmsKey != "" {
			set += "\nKmsKeyArn: " + tt.kmsKey
		}
		check := preflight{environment: "dev", limit: "100", change: []string{"Stage: dev", set}}
		if tt.fails != "" {
			check.fails = []string{tt.fails}
		}
		t.Run(tt.name, check.run)
	}
}

// ownKey is a key that some secrets of the AWS CLI below have.
const ownKey = "arn:aws:kms:us-east-1:123456789012:key/own"

// preflight is the check, with the answers of an AWS CLI that this test wrote.
type preflight struct {
	name, environment          string
	limit, topic, told, refuse string
	change                     []string // what it says in samconfig.toml and the parameters, and what instead
	fails                      []string
}

func (tt preflight) run(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"deploy/preflight", "samconfig.toml", "deploy/dev.yaml", "deploy/prod.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, strings.NewReplacer(tt.change...).Replace(string(text)))
	}
	write("bin/aws", `#!/bin/sh
case "$1 $2" in
  "sts get-caller-identity") `+map[bool]string{true: `echo 123456789012`, false: `echo "` + tt.refuse + `" >&2; exit 255`}[tt.refuse == ""]+` ;;
  "lambda get-account-settings") echo "`+tt.limit+`" ;;
  "cloudformation describe-stacks") echo "`+tt.topic+`" ;;
  "sns list-subscriptions-by-topic") echo "`+tt.told+`"; case "`+tt.told+`" in [0-9]*) ;; *) exit 254 ;; esac ;;
  "secretsmanager describe-secret")
    case "$6" in
      *:gone-*) printf '\nResourceNotFoundException' >&2; exit 254 ;;
      *:deleted-*) echo "$6 2026-11-27T10:00:00+00:00 None" ;;
      *:sealed-*) echo "$6 None `+ownKey+`" ;;
      *:alias-*) echo "$6 None arn:aws:kms:us-east-1:123456789012:alias/shop" ;;
      *-AbCdEf) echo "$6 None None" ;;
      *) echo "$6-AbCdEf None None" ;;
    esac ;;
  "ssm describe-parameters")
    case "$6" in
      Key=Name,Values=/stripe,stripe | Key=Name,Values=/shop/stripe) echo "SecureString alias/aws/ssm" ;;
      *sealed*) echo "SecureString own" ;;
      *open*) echo "String None" ;;
      *forbidden*) echo "AccessDeniedException" >&2; exit 254 ;;
    esac ;;
  *) exit 252 ;;
esac
`)
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "deploy/preflight"), tt.environment)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(folder, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if (err != nil) != (len(tt.fails) > 0) {
		t.Errorf("the error is %v:\n%s", err, out)
	}
	var failed []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "FAIL  ") {
			failed = append(failed, line)
		}
	}
	if len(failed) != len(tt.fails) {
		t.Fatalf("it says:\n%s\nwant failures like %q", out, tt.fails)
	}
	for i, want := range tt.fails {
		if !strings.Contains(failed[i], want) {
			t.Errorf("it says %q, want %q", failed[i], want)
		}
	}
}
