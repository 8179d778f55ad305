package functions_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestWorkflow: a deployment by GitHub keeps no key, runs no program whose bytes can change, and
// reaches prod after dev has been tested and the change set shown, in an environment where
// somebody must approve it.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.github/workflows/deploy.yml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "secrets.") || strings.Contains(string(text), "access-key") {
		t.Error("it uses a secret")
	}
	var workflow struct {
		Permissions map[string]string `yaml:"permissions"`
		Jobs        map[string]struct {
			Needs       string            `yaml:"needs"`
			Environment string            `yaml:"environment"`
			Permissions map[string]string `yaml:"permissions"`
			Steps       []struct {
				Uses string `yaml:"uses"`
				Run  string `yaml:"run"`
			} `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	if workflow.Permissions == nil || len(workflow.Permissions) > 0 {
		t.Errorf("by default a job may %v", workflow.Permissions)
	}
	pinned := regexp.MustCompile(`^[\w.-]+/[\w.-]+@[0-9a-f]{40}$`)
	for _, want := range []struct {
		job, needs, environment string
		commands                []string // in that order
	}{
		{"dev", "", "dev", []string{"make test", "make preflight ENV=dev", "make deploy ENV=dev CONFIRM=no", "make smoke ENV=dev"}},
		{"review", "dev", "prod-review", []string{"make preflight ENV=prod", "make changeset ENV=prod"}},
		{"prod", "review", "prod", []string{"make preflight ENV=prod", "make deploy ENV=prod CONFIRM=no", "make smoke ENV=prod"}},
	} {
		job := workflow.Jobs[want.job]
		if job.Needs != want.needs || job.Environment != want.environment {
			t.Errorf("%s is in %q, after %q", want.job, job.Environment, job.Needs)
		}
		if len(job.Permissions) != 2 || job.Permissions["id-token"] != "write" || job.Permissions["contents"] != "read" {
			t.Errorf("%s may %v", want.job, job.Permissions)
		}
		var made []string
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				t.Errorf("%s uses %s, which is not one commit", want.job, step.Uses)
			}
			made = append(made, regexp.MustCompile(`(?m)^make [\w= -]*\w`).FindAllString(step.Run, -1)...)
		}
		if !slices.Equal(made, want.commands) {
			t.Errorf("%s does %q, want %q", want.job, made, want.commands)
		}
	}
}
