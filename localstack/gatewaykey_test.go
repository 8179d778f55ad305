//go:build integration

package localstack_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
)

// TestGatewayKey runs the built payment function, as the template configures it, with the API
// key in either service. While the key is not the one that Stripe knows, an order waits; once it
// is, the same environment charges the order, without a new deployment. The key is in no
// variable and in no line of the log.
func TestGatewayKey(t *testing.T) {
	const formerly, key = "sk_test_formerly", "sk_test_now"
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "./functions/payment")
	build.Dir = repository
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for name, keep := range map[string]func(ctx context.Context, s *stack, key string) (arn string, err error){
		"Secrets Manager": keepSecret,
		"Parameter Store": keepParameter,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.provision(t, repository)
			arn, err := keep(t.Context(), s, formerly)
			if err != nil {
				t.Fatal(err)
			}
			read := s.template(t, map[string]string{"Gateway": "stripe", "GatewaySecretArn": arn, "Stage": "dev", "EndpointUrl": s.endpoint})

			server := stripetest.New(t, key)
			proxy, trusted := internet(t, "api.stripe.com", server)
			function, _ := read.Function("Payment")
			function.Environment = maps.Clone(function.Environment)
			for variable, value := range function.Environment {
				if strings.Contains(value, "sk_test_") {
					t.Errorf("%s is %s", variable, value)
				}
			}
			function.Environment["HTTPS_PROXY"], function.Environment["SSL_CERT_FILE"] = proxy, trusted
			log := &output{}
			payment, err := runtimeapi.New(runtimeapi.Config{
				Function: function, Binary: binary, Region: "us-east-1", Log: log,
				Credentials: runtimeapi.Credentials{AccessKeyID: s.account, SecretAccessKey: "test"},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var polling sync.WaitGroup
			polling.Go(func() { newPoller(t, s, read, payment, &meter{calls: map[string]int{}}).Run(ctx) })
			t.Cleanup(func() {
				stop()
				polling.Wait()
				if err := payment.Close(context.Background()); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Logf("the function's log:\n%s", log)
				}
			})

			environment := handlerstest.Environment("GATEWAY", "stripe")
			api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, handlerstest.Services(s.store(), s.queue(paymentQueue))))
			call := func(method, path, body string, want int) shownOrder {
				t.Helper()
				response, err := api(t.Context(), apiEvent(method, path, body))
				if err != nil || response.StatusCode != want {
					t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, response.Body, err)
				}
				return shown(t, response.Body)
			}
			id := call(http.MethodPost, "/orders", `{"amount": 1200, "paymentToken": "pm_card_visa"}`, http.StatusCreated).ID
			eventually(t, time.Minute, func() string {
				if !strings.Contains(log.String(), `"Misconfigured":1`) {
					return "nothing says that Stripe refuses the key"
				}
				return ""
			})
			if o := call(http.MethodGet, "/orders/"+id, "", http.StatusOK); o.Status != "PROCESSING" {
				t.Errorf("the order is %s with %v", o.Status, o.outcomes())
			}

			if _, err := keep(t.Context(), s, key); err != nil {
				t.Fatal(err)
			}
			eventually(t, 2*time.Minute, func() string {
				if o := call(http.MethodGet, "/orders/"+id, "", http.StatusOK); o.Status != "PAID" {
					return "the order is " + o.Status
				}
				return ""
			})
			if got, want := server.Books()[id], (stripetest.Book{Charged: 1200, Charges: 1}); got != want {
				t.Errorf("Stripe's books have %+v, want %+v", got, want)
			}
			if text := log.String(); strings.Count(text, `"cold start"`) != 1 || strings.Contains(text, "sk_test_") {
				t.Errorf("the log has a key, or more than one environment:\n%s", text)
			}
		})
	}
}

// keepSecret stores a key in Secrets Manager, in the place of a former one.
func keepSecret(ctx context.Context, s *stack, key string) (arn string, err error) {
	name, client := aws.String("paylane/stripe"), secretsmanager.NewFromConfig(s.config)
	if there, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: name}); err == nil {
		_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: name, SecretString: &key})
		return *there.ARN, err
	}
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: &key})
	if err != nil {
		return "", err
	}
	return *made.ARN, nil
}

// keepParameter stores a key in Parameter Store, in the place of a former one.
func keepParameter(ctx context.Context, s *stack, key string) (arn string, err error) {
	const name = "/paylane/stripe"
	_, err = ssm.NewFromConfig(s.config).PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(name), Value: &key, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	return "arn:aws:ssm:us-east-1:" + s.account + ":parameter" + name, err
}

// internet starts a proxy to a world in which there is one host, served by a handler, and
// returns its URL and the file of the certificate to trust.
func internet(t *testing.T, host string, handler http.Handler) (proxy, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	described := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, described, described, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate = filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{signed}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host+":443" {
			http.Error(w, "there is no such host", http.StatusBadGateway)
			return
		}
		there, err := new(net.Dialer).DialContext(r.Context(), "tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = there.Close() }()
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = here.Close() }()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(there, buffered)
			_ = there.Close()
		}()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(gate.Close)
	return gate.URL, certificate
}
