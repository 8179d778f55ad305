# What CI calls and what people call is the same. Plain `make` shows this file's targets.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
FUZZTIME              ?= 30s
TOOLS                 := $(CURDIR)/bin
FUNCTIONS             := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))
# What Go builds Lambda's binaries with, here and in sam build, which would set none of it: no C; without net/rpc, which
# aws-lambda-go would link, and with it a template engine; stripped; the same bytes in every folder and at every commit.
FOR_LAMBDA            := CGO_ENABLED=0 GOFLAGS="-tags=lambda.norpc -trimpath -buildvcs=false '-ldflags=-s -w'"
MAX_ZIP               := 4194304
# Of the console, which makes pages: docs/decisions/0012.
MAX_ZIP_CONSOLE       := 7340032

## —— Everyday ——

.PHONY: help
help: ## show this
	@awk -F':.*## ' '/^## ——/ { sub(/^## /, ""); print "\n" $$0 } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## take and pay orders on this machine: http://127.0.0.1:3000
	go run ./cmd/paylane

.PHONY: test
test: ## all tests that need only Go
	go test ./...

.PHONY: check
check: ## format, vet, lint, known vulnerabilities, and the template where SAM is installed
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet -tags integration,sam,browser,interop ./...
	$(MAKE) --no-print-directory $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint run --build-tags integration,sam,browser,interop ./...
	$(MAKE) --no-print-directory vuln
	@if command -v sam > /dev/null; then .ci/template; else echo "template.yaml: not checked, since sam is not installed"; fi

.PHONY: race
race: ## all tests under the race detector
	go test -race -short ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each (default 30s)
	./.ci/fuzz $(FUZZTIME)

# How many seeds; a tenth as many run on the embedded store.
SEEDS ?= 10000

.PHONY: sim
sim: ## the pipeline under faults, in virtual time, from SEEDS fresh seeds (default 10000, 4 minutes)
	GOGC=400 go test -count=1 -timeout 60m -v -run '^(TestSim|TestEmbedded)$$' ./shared/sim -args -seed=0 -seeds=$(SEEDS)

.PHONY: mutants
mutants: ## plant each known bug in a copy, and fail if one is not found (takes most of an hour)
	./.ci/mutants

.PHONY: openapi-test
openapi-test: ## the running API against its OpenAPI document, by schemathesis (needs Python)
	./.ci/schemathesis

.PHONY: interop-test
interop-test: ## signatures of webhooks, by other languages' libraries (needs Python and Node)
	./.ci/webhooks

.PHONY: browser-test
browser-test: ## the console, and pages of other origins, in Chromium or Chrome
	go test -tags browser -count=1 -run '^TestBrowser' ./cmd/paylane

.PHONY: bench
bench: ## run the load driver against the runner, beside a bare net/http server
	./cmd/paylane/bench.sh

.PHONY: console-bench
console-bench: ## the console's pages with 100,000 orders under 2,000 a second, its board's cost, and its memory (takes 15 minutes; Chromium)
	go test -tags browser -run='^$$' -bench='Console/page' -benchtime=100x ./cmd/paylane
	go test -tags browser -run='^$$' -bench='Console/board' -benchtime=6x ./cmd/paylane
	go test -tags browser -run='^$$' -bench='Console/memory' -benchtime=10x -timeout=20m ./cmd/paylane

SOAK ?= 20m

.PHONY: soak
soak: ## the runner under load for SOAK (default 20m), killed every 30 s; then restarts with a million orders
	go test -run='^$$' -bench=Soak -benchtime=1x -timeout=2h ./cmd/paylane -args -soak=$(SOAK)
	go test -run='^$$' -bench=Restart -benchtime=3x -timeout=1h ./cmd/paylane

.PHONY: coldstart
coldstart: ## from exec to ready, of the api and console functions beside an empty one
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; mkdir "$$work/api" "$$work/console" "$$work/empty"; \
	$(FOR_LAMBDA) go build -o "$$work/api/bootstrap" ./functions/api; \
	$(FOR_LAMBDA) go build -o "$$work/console/bootstrap" ./functions/console; \
	$(FOR_LAMBDA) go build -o "$$work/empty/bootstrap" ./shared/emulator/runtimeapi/testdata/empty; \
	go test -run='^$$' -bench=ColdStart -benchtime=200x ./shared/emulator/runtimeapi -args \
	  -binaries="$$work/api/bootstrap,$$work/console/bootstrap,$$work/empty/bootstrap" \
	  -variables=ORDERS_TABLE=t,PAYMENT_QUEUE_URL=http://127.0.0.1:1/0/q,WEBHOOK_QUEUE_URL=http://127.0.0.1:1/0/w,AUTH_MODE=none,GATEWAY=simulator

## —— On AWS's protocols ——

# Packages with tests that need LocalStack.
INTEGRATION = $$(grep -rl --include='*_test.go' '^//go:build integration' . | xargs -n1 dirname | sort -u)

.PHONY: localstack
localstack: ## the built functions on LocalStack, brought up by Docker: http://127.0.0.1:3000
	./localstack/with sh -c 'go run ./cmd/paylane --endpoint "$$AWS_ENDPOINT_URL"'

.PHONY: integration
integration: ## all tests on LocalStack: the one at AWS_ENDPOINT_URL, or one brought up by Docker
	./localstack/with go test -tags integration -count=1 -p 1 -timeout 20m $(INTEGRATION)

.PHONY: sam
sam: ## the api function in SAM's container, on LocalStack: http://127.0.0.1:3000
	$(FOR_LAMBDA) ./localstack/sam build
	./localstack/with ./localstack/sam start

.PHONY: sam-test
sam-test: ## the tests of SAM's builds, its translation and its containers
	go test -tags sam -count=1 -timeout 15m ./functions
	$(FOR_LAMBDA) ./localstack/sam build
	./localstack/with go test -tags sam -count=1 -timeout 15m ./localstack

## —— Deploying ——

.PHONY: build
build: ## the functions' binaries for Lambda, arm64 and x86_64, in bin/; fails if one is too large
	@for arch in arm64 amd64; do for f in $(FUNCTIONS); do \
	  out=bin/$$arch/$$f/bootstrap; \
	  GOOS=linux GOARCH=$$arch $(FOR_LAMBDA) go build -o $$out ./functions/$$f; \
	  size=$$(gzip -9 -c $$out | wc -c); \
	  echo "$$out, $$size bytes by gzip"; \
	  max=$(MAX_ZIP); if [ $$f = console ]; then max=$(MAX_ZIP_CONSOLE); fi; \
	  if [ $$size -gt $$max ]; then echo "$$out exceeds $$max bytes: see docs/decisions/0007"; exit 1; fi; \
	done; done

ENV ?= dev
# Parameters of one deployment, besides those of deploy/$(ENV).yaml: PARAMETERS="Canary=false".
PARAMETERS ?=
# Why to deploy although nothing changed, such as a rotated secret: it makes another release.
REASON ?=
# Without a question, where nobody is to answer: CONFIRM=no.
CONFIRM ?=
export PARAMETERS REASON

OVERRIDES = file://deploy/$(ENV).yaml $(PARAMETERS)
# The name of all that is deployed, which the parameter Release explains.
RELEASE = $$({ find .aws-sam/$(ENV) -type f | LC_ALL=C sort | xargs cat && cat deploy/$(ENV).yaml && \
	printf '%s\n' "$$PARAMETERS" "$$REASON"; } | git hash-object --stdin)

.PHONY: package
package: ## the stack of ENV as sam deploy takes it, in .aws-sam
	$(FOR_LAMBDA) sam build --config-env $(ENV) --parameter-overrides $(OVERRIDES)

.PHONY: release
release: ## the release that package built, by its name
	@release=$(RELEASE); echo "$$release"

.PHONY: preflight
preflight: ## what the account lacks for a deployment of ENV (needs the AWS CLI)
	./deploy/preflight $(ENV)

# A setting of ENV in samconfig.toml.
setting = $(shell awk -F'"' '/^\[/ { in_it = $$0 == "[$(ENV).global.parameters]" } in_it && /^$(1) = / { print $$2 }' samconfig.toml)

.PHONY: changeset
changeset: package ## make and show the change set of a deployment, and change nothing
	release=$(RELEASE); sam deploy --config-env $(ENV) --parameter-overrides $(OVERRIDES) Release="$$release" \
	  --no-confirm-changeset --no-execute-changeset

.PHONY: deploy
deploy: package ## deploy to AWS: ENV=dev or ENV=prod, PARAMETERS="Name=Value", REASON=why, CONFIRM=no
	release=$(RELEASE); sam deploy --config-env $(ENV) --parameter-overrides $(OVERRIDES) Release="$$release" \
	  $(if $(filter no,$(CONFIRM)),--no-confirm-changeset)
	$(if $(filter prod,$(ENV)),aws cloudformation update-termination-protection --enable-termination-protection \
	  --region $(call setting,region) --stack-name $(call setting,stack_name) --output text)

.PHONY: smoke
smoke: ## test the deployed stack of ENV at its public URL, with a real token
	./deploy/smoke $(ENV)

.PHONY: destroy
destroy: ## delete the stack of ENV, never prod; the table and the user pool stay
	@if [ "$(ENV)" = prod ]; then echo "prod can't be destroyed from here: delete its stack by hand, if you know what it holds"; exit 1; fi
	sam delete --config-env $(ENV)

# The tools are built from source at a fixed version; only modules are fetched.
$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

.PHONY: vuln
vuln: $(TOOLS)/govulncheck
	@if curl --silent --fail --max-time 10 --output /dev/null https://vuln.go.dev/index/modules.json; then \
	  $(TOOLS)/govulncheck ./...; \
	else \
	  echo "govulncheck: not checked, since its database, vuln.go.dev, can't be reached"; \
	fi
