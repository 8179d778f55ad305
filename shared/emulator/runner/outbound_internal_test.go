package runner

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"paylane/shared/emulator/template"
)

// TestAWSNames: what is AWS's and what only looks like it.
func TestAWSNames(t *testing.T) {
	for address, want := range map[string]bool{
		"sqs.us-east-1.amazonaws.com:443":                 true,
		"SQS.us-east-1.AmazonAWS.com:443":                 true,
		"sqs.us-east-1.amazonaws.com.:443":                true,
		"sqs.us-east-1.amazonaws.com":                     true,
		"amazonaws.com:80":                                true,
		"my.bucket.s3.amazonaws.com:443":                  true,
		"bucket.s3.dualstack.eu-west-1.amazonaws.com:443": true,
		"123456789012.ddb.eu-west-1.amazonaws.com:443":    true,
		"sqs.cn-north-1.amazonaws.com.cn:443":             true,
		"sqs.eu-central-1.api.aws:443":                    true,
		"x.lambda-url.eu-central-1.on.aws:443":            true,
		"x.execute-api.eu-central-1.amazonaws.com:443":    true,
		"shop.auth.eu-central-1.amazoncognito.com:443":    true,
		"signin.aws.amazon.com:443":                       true,
		"sqs.us-iso-east-1.c2s.ic.gov:443":                true,
		"notamazonaws.com:443":                            false,
		"amazonaws.com.example.com:443":                   false,
		"amazonaws.com.evil.cn:443":                       false,
		"sqs.us-east-1.localhost.localstack.cloud:4566":   false,
		"aws:4566":           false,
		"www.amazon.com:443": false,
		"api.stripe.com:443": false,
		"127.0.0.1:4566":     false,
		"[::1]:4566":         false,
		"sqs.us-east-1.amazonaws.com.internal.example:443":          false,
		"api.amazonwebservices.com.cn:443":                          true,
		"iam.eusc-de-east-1.amazonaws.eu:443":                       true,
		"sts.eu-isoe-west-1.cloud.adc-e.uk:443":                     true,
		"sqs.us-isob-east-1.sc2s.sgov.gov:443":                      true,
		"sqs.us-isof-south-1.csp.hci.ic.gov:443":                    true,
		"other.ic.gov:443":                                          false,
		"other.adc-e.uk:443":                                        false,
		"cognito-identity-fips.us-gov-west-1.amazonaws.com.:065535": true,
	} {
		if got := isAWS(hostname(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

// TestPartitions: the endpoints of all partitions that the SDK knows are AWS's.
func TestPartitions(t *testing.T) {
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "internal/endpoints/awsrulesfn/partitions.go"))
	if err != nil {
		t.Fatal(err)
	}
	suffixes := regexp.MustCompile(`(?i)dnssuffix: *"([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(suffixes) < 10 {
		t.Errorf("only %d suffixes found", len(suffixes))
	}
	for _, suffix := range suffixes {
		if !isAWS("sqs.some-region-1." + suffix[1]) {
			t.Errorf("%s is not in the table", suffix[1])
		}
	}
}

// TestLinkLocal: where machines on AWS find credentials, in all spellings of the addresses.
func TestLinkLocal(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "169.254.170.23": true, "::ffff:169.254.169.254": true,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "fd00:ec2::254%eth0": true, "fe80::1%eth0": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "169.253.169.254": false, "192.168.1.1": false, "fd00:ec3::254": false,
	} {
		if got := isLinkLocal(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

// TestDirect: the endpoint and the issuers of the tokens in use are called without the
// proxy, though they may be AWS's.
func TestDirect(t *testing.T) {
	api := template.HTTPAPI{Routes: []template.Route{{}, {Authorizer: &template.JWTAuthorizer{Issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a"}}}}
	read := &template.Template{APIs: []template.HTTPAPI{api}}
	for _, tt := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{Endpoint: "http://127.0.0.1:4566"}, ""},
		{Config{Endpoint: "https://[fd00::1]:4566"}, ",fd00::1"},
		{Config{Tokens: &Tokens{}}, ",cognito-idp.eu-west-1.amazonaws.com"},
		{Config{Endpoint: "http://stack:4566", Tokens: &Tokens{Issuer: "https://stack/pool"}}, ",stack,cognito-idp.eu-west-1.amazonaws.com"},
	} {
		if got, want := strings.Join(tt.config.direct(read), ","), "localhost,127.0.0.1,::1"+tt.want; got != want {
			t.Errorf("%+v: %s, want %s", tt.config, got, want)
		}
	}
}
