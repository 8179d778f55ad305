package template_test

import (
	"testing"

	"paylane/shared/emulator/template"
)

// TestExternals: what code can reach but nobody emulates is read with its name and its
// resolved properties, and has the values that CloudFormation documents.
func TestExternals(t *testing.T) {
	const source = `
Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String, Default: dev}}
Conditions: {Prod: !Equals [!Ref Stage, prod]}
Resources:
  Gone: {Type: AWS::S3::Bucket, Condition: Prod}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub "shop-${Stage}", Subscription: [{Protocol: email, Endpoint: a@b.example}]}}
  Fifo: {Type: AWS::SNS::Topic, Properties: {FifoTopic: true}}
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      Tags: []
      VersioningConfiguration: {Status: !If [Prod, Enabled, Suspended]}
      CorsConfiguration: {CorsRules: [{AllowedMethods: [GET], AllowedOrigins: ["*"], MaxAge: 5}, !If [Prod, {}, !Ref AWS::NoValue]]}
  Secret: {Type: AWS::SecretsManager::Secret, Properties: {Name: shop/db, GenerateSecretString: {GenerateStringKey: password, PasswordLength: 20}}}
  Param: {Type: AWS::SSM::Parameter, Properties: {Name: /shop/key, Type: String, Value: !Sub "${Stage} key"}}
  Key: {Type: AWS::KMS::Key, Properties: {KeySpec: RSA_2048}}
  Alias: {Type: AWS::KMS::Alias, Properties: {AliasName: alias/shop, TargetKeyId: !Ref Key}}
  Pool: {Type: AWS::Cognito::UserPool, Properties: {UserPoolName: shoppers}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Environment:
        Variables:
          TOPIC: !Ref Topic
          BUCKET: !Ref Bucket
          BUCKET_ARN: !GetAtt Bucket.Arn
          BUCKET_HOSTS: !Sub "${Bucket.DomainName} ${Bucket.RegionalDomainName} ${Bucket.DualStackDomainName} ${Bucket.WebsiteURL}"
          SECRET: !Ref Secret
          SECRET_ID: !GetAtt Secret.Id
          PARAM: !Ref Param
          PARAM_VALUE: !Sub "${Param.Type} ${Param.Value}"
          KEY: !Ref Key
          POOL: !Ref Pool
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{Region: "eu-central-1"})
	if err != nil {
		t.Fatal(err)
	}
	environment := got.Functions[0].Environment
	key, pool := environment["KEY"], environment["POOL"]
	delete(environment, "KEY")
	delete(environment, "POOL")
	diff(t, "environment", map[string]string{
		"TOPIC": "arn:aws:sns:eu-central-1:123456789012:shop-dev", "BUCKET": "local-bucket", "BUCKET_ARN": "arn:aws:s3:::local-bucket",
		"BUCKET_HOSTS": "local-bucket.s3.amazonaws.com local-bucket.s3.eu-central-1.amazonaws.com " +
			"local-bucket.s3.dualstack.eu-central-1.amazonaws.com http://local-bucket.s3-website.eu-central-1.amazonaws.com",
		"SECRET":    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db",
		"SECRET_ID": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db",
		"PARAM":     "/shop/key", "PARAM_VALUE": "String dev key",
	}, environment)
	type properties = map[string]any
	rule := properties{"AllowedMethods": []any{"GET"}, "AllowedOrigins": []any{"*"}, "MaxAge": int64(5)}
	diff(t, "externals", []template.External{
		{LogicalID: "Topic", Type: "AWS::SNS::Topic", Name: "shop-dev", Ref: "arn:aws:sns:eu-central-1:123456789012:shop-dev", Properties: properties{"TopicName": "shop-dev"}},
		{LogicalID: "Fifo", Type: "AWS::SNS::Topic", Name: "local-Fifo.fifo", Ref: "arn:aws:sns:eu-central-1:123456789012:local-Fifo.fifo", Properties: properties{"FifoTopic": true}},
		{LogicalID: "Bucket", Type: "AWS::S3::Bucket", Name: "local-bucket", Ref: "local-bucket", Properties: properties{
			"VersioningConfiguration": properties{"Status": "Suspended"},
			"CorsConfiguration":       properties{"CorsRules": []any{rule}}}},
		{LogicalID: "Secret", Type: "AWS::SecretsManager::Secret", Name: "shop/db", Ref: environment["SECRET"], Properties: properties{
			"Name": "shop/db", "GenerateSecretString": properties{"GenerateStringKey": "password", "PasswordLength": int64(20)}}},
		{LogicalID: "Param", Type: "AWS::SSM::Parameter", Name: "/shop/key", Ref: "/shop/key", Properties: properties{
			"Name": "/shop/key", "Type": "String", "Value": "dev key"}},
		{LogicalID: "Key", Type: "AWS::KMS::Key", Name: key, Ref: key, Properties: properties{"KeySpec": "RSA_2048"}},
		{LogicalID: "Alias", Type: "AWS::KMS::Alias", Name: "alias/shop", Ref: "alias/shop", Properties: properties{
			"AliasName": "alias/shop", "TargetKeyId": key}},
		{LogicalID: "Pool", Type: "AWS::Cognito::UserPool", Name: pool, Ref: pool, Properties: properties{"UserPoolName": "shoppers"}},
	}, got.Externals, noLines(template.External{}, "Line"))
	var skipped []string
	for _, s := range got.Skipped {
		skipped = append(skipped, s.Path)
	}
	diff(t, "skipped", []string{"Resources.Topic.Properties.Subscription", "Resources.Bucket.Properties.Tags"}, skipped)
}
