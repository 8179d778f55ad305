package template_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/schedule/expression"
	"paylane/shared/emulator/template"
)

// FuzzRead checks the reader's promises on any input: it ends, it returns the same twice,
// an error is a [template.Error], and a template that it accepts is consistent.
func FuzzRead(f *testing.F) {
	// The seeds are small, since the fuzzer spends its time minimizing large ones.
	for _, source := range []string{
		"Parameters: {P: {Type: CommaDelimitedList, Default: 'a,b'}}\nConditions: {C: !Or [!Not [!Equals [!Ref P, x]], !Condition C]}\n",
		"Mappings: {M: {a: {b: c}}}\nResources: {T: {Type: AWS::SNS::Topic, Properties: {Subscription: []}}}\n",
		around + "  D: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Q.Arn, maxReceiveCount: 3}}}\n",
		around + "  F: {Type: AWS::Serverless::Function, Properties: {Environment: {Variables: {AB: !Sub ['${x}${Q}', {x: !Join ['', [a]]}]}}}}\n",
		around + "  F: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}}}\n",
		around + streamed + "  F: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: LATEST}}}}}\n",
		around + "  F: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: HttpApi, Properties: {Path: '/{a}', Method: any}}}}}\n",
		around + "  F: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day)}}}}}\n",
		around + "  F: {Type: AWS::Serverless::Function, Properties: {EventInvokeConfig: {MaximumRetryAttempts: 0}}}\n",
		around + "  A: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {Authorizers: {J: {JwtConfiguration: {issuer: i, audience: [a]}}}}}}\n",
		around + "  T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}]}}\n",
		around + "  S: {Type: AWS::SSM::Parameter, Properties: {Name: /s, Type: String, Value: 'a{{resolve:ssm:/x}}{{resolve:ssm:/s}}'}}\nOutputs: {O: {Value: !GetAtt S.Value}}\n",
		around + "  B: {Type: AWS::SecretsManager::Secret, Properties: {Name: !Sub '{{resolve:secretsmanager:${B}::k}}', SecretString: '{}'}}\n",
		"Parameters: {P: {Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: p}}\nResources: {}\nOutputs: {O: {Value: !Select [0, !Ref P]}}\n",
		"a: &x {b: 1}\nc: {<<: *x, d: !Select [0, !Split [',', 'a,b']]}\ne: |\n  f\n",
	} {
		f.Add([]byte(source))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		o := template.Options{
			Origin: "http://127.0.0.1:3000",
			Lookup: func(f template.Reference) (string, error) { return f.String(), nil },
		}
		got, err := template.Read("template.yaml", source, o)
		again, errAgain := template.Read("template.yaml", source, o)
		if d := cmp.Diff(got, again); d != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("two readings differ: %v, %v\n%s", err, errAgain, d)
		}
		if err != nil {
			var list *template.Error
			if !errors.As(err, &list) || len(list.Problems) == 0 || err.Error() != errAgain.Error() {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			return
		}
		for _, s := range got.Skipped {
			if s.Path == "" || s.Reason == "" || s.Line == 0 {
				t.Errorf("skipped without a path, a reason or a line: %+v", s)
			}
		}
		for _, m := range got.Mappings {
			if _, ok := got.Function(m.Function); !ok {
				t.Errorf("mapping %s has no function", m.LogicalID)
			}
			if _, ok := got.Queue(m.Queue); !ok {
				t.Errorf("mapping %s has no queue", m.LogicalID)
			}
		}
		for _, m := range got.StreamMappings {
			if _, ok := got.Function(m.Function); !ok {
				t.Errorf("mapping %s has no function", m.LogicalID)
			}
			if !slices.ContainsFunc(got.Tables, func(table template.Table) bool { return table.LogicalID == m.Table && table.StreamARN != "" }) {
				t.Errorf("mapping %s has no table with a stream", m.LogicalID)
			}
			if _, ok := got.Queue(m.OnFailure); m.OnFailure != "" && !ok {
				t.Errorf("mapping %s has no destination %s", m.LogicalID, m.OnFailure)
			}
			if m.StartingPosition != "LATEST" && m.StartingPosition != "TRIM_HORIZON" {
				t.Errorf("mapping %s begins at %q", m.LogicalID, m.StartingPosition)
			}
		}
		for _, q := range got.Queues {
			if _, ok := got.Queue(q.DeadLetterQueue); q.DeadLetterQueue != "" && !ok {
				t.Errorf("queue %s has no dead-letter queue %s", q.LogicalID, q.DeadLetterQueue)
			}
		}
		for _, s := range got.Schedules {
			if _, ok := got.Function(s.Function); !ok {
				t.Errorf("schedule %s has no function", s.LogicalID)
			}
			parse := expression.ParseSchedule
			if s.Rule {
				parse = expression.ParseRule
			}
			if _, err := parse(s.Expression); err != nil {
				t.Errorf("schedule %s has the expression %q: %v", s.LogicalID, s.Expression, err)
			}
		}
		for _, f := range got.Functions {
			for _, id := range []string{f.Async.OnSuccess, f.Async.OnFailure} {
				if _, ok := got.Queue(id); id != "" && !ok {
					t.Errorf("function %s has no destination %s", f.LogicalID, id)
				}
			}
		}
		for _, api := range got.APIs {
			for _, r := range api.Routes {
				if _, ok := got.Function(r.Function); !ok {
					t.Errorf("route %s has no function", r.Key)
				}
			}
		}
	})
}
