//go:build integration

package dynamostore_test

import (
	"math/rand/v2"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/dynamostore"
)

// TestScannerContract has a table for each case, since a scan reads all of it.
func TestScannerContract(t *testing.T) {
	contract.RunScanner(t, func(t *testing.T) contract.ScanStore {
		c, _ := awstest.Config(t)
		client := dynamodb.NewFromConfig(c)
		return dynamostore.New(client, createTable(t, client), rand.IntN)
	})
}
