// SPDX-License-Identifier: MIT

// Package awsassertion lets a workload on AWS get app-only tokens of Entra
// without a secret: STS says by its GetWebIdentityToken which IAM role it is,
// and the app trusts that by a federated credential.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	…
//	src := awsassertion.New(cfg, nil)
//	client, err := apponly.New(tenantID, clientID, apponly.Federated(src), nil)
//
// On the side of AWS, once for each account: switch outbound web identity
// federation on ("aws iam enable-outbound-web-identity-federation", which prints
// the account's issuer), and allow the role sts:GetWebIdentityToken. At Entra,
// once for each role: a federated credential with that issuer, the role's ARN as
// the subject and the cloud's exchange audience, api://AzureADTokenExchange in
// the public one.
//
// The token is asked for at the STS endpoint of the configuration's region: the
// global endpoint does not have this call. It is signed by RS256, the one
// algorithm that Entra documents.
//
// Nothing blocks before a token request, and nothing is kept: STS is asked for
// each token request, which a client makes about once an hour. AWS credentials,
// HTTP client, endpoint and retries are those of the aws.Config;
// [apponly.Options.HTTPClient] is for Entra alone.
package awsassertion
