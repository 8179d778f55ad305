package functions_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhoReadsTheKey: the functions that call the gateway are told where its API key is, may
// read that and nothing else like it, and have the code for it; the others have none of these.
func TestWhoReadsTheKey(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:ssm:us-east-1:123456789012:parameter/stripe"
	all := resources(t)
	for _, f := range readWith(t, map[string]string{"Gateway": "stripe", "GatewaySecretArn": arn}).Functions {
		calls := slices.Contains([]string{"Payment", "DeadLetter", "Reconcile"}, f.LogicalID)
		where, told := f.Environment["GATEWAY_SECRET_ARN"]
		if told != calls || told && where != arn {
			t.Errorf("%s has the ARN %q: %v", f.LogicalID, where, told)
		}
		main, err := os.ReadFile(filepath.Join("..", f.CodeURI, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if linked := strings.Contains(string(main), "gatewaykey.New"); linked != calls {
			t.Errorf("%s reads the key: %v", f.LogicalID, linked)
		}
		var may []string
		walk(all[f.LogicalID+"Role"], func(m map[string]any) {
			list, _ := m["Action"].([]any)
			for _, action := range list {
				if name := fmt.Sprint(action, " ", m["Resource"]); strings.HasPrefix(name, "secretsmanager:") || strings.HasPrefix(name, "ssm:") {
					may = append(may, name)
				}
			}
		})
		var want []string
		if calls {
			want = []string{"secretsmanager:GetSecretValue GatewaySecretArn", "ssm:GetParameter GatewaySecretArn"}
		}
		if !slices.Equal(may, want) {
			t.Errorf("%s may %q, want %q", f.LogicalID, may, want)
		}
	}
}

// TestLivemode: money moves in a stack with a real gateway whose stage is prod.
func TestLivemode(t *testing.T) {
	t.Parallel()
	stripe := map[string]string{"Gateway": "stripe", "GatewaySecretArn": "arn:aws:ssm:us-east-1:123456789012:parameter/stripe"}
	for _, tt := range []struct {
		stage string
		more  map[string]string
		want  string
	}{
		{"prod", stripe, "true"},
		{"dev", stripe, "false"},
		{"prod", nil, "false"},
		{"dev", nil, "false"},
	} {
		parameters := map[string]string{"Stage": tt.stage}
		maps.Copy(parameters, tt.more)
		for _, f := range readWith(t, parameters).Functions {
			if got := f.Environment["GATEWAY_LIVEMODE"]; got != tt.want {
				t.Errorf("%s with %v: GATEWAY_LIVEMODE is %q, want %q", f.LogicalID, parameters, got, tt.want)
			}
		}
	}
}
