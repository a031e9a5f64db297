package selftest

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// deployResult is what the org says of a deploy.
type deployResult struct {
	ID           string
	DeployResult struct {
		Done, Success bool
		Status        string
		Details       struct {
			ComponentFailures []struct{ FullName, ComponentType, Problem string }
		}
	}
}

// deployPolling is the waiting for a deploy of three components.
var deployPolling = salesforce.Polling{Limit: 5 * time.Minute, Max: 10 * time.Second}

// askDeploy validates the deploy of an app with global settings, which creates nothing.
func askDeploy(ctx context.Context, r *run) error {
	const id = "local-on-scratch-deploy"
	if r.org.Kind != string(platform.Scratch) {
		r.unknown(id, "the org is not a scratch org")
		return nil
	}
	app := r.app(deployApp)
	zipped, err := deployZip(r.conn.APIVersion().String(), newHeader(app),
		component(eca.OAuthSettings, app, "commaSeparatedOauthScopes", "Api"),
		component(eca.GlobalOAuthSettings, app, "callbackUrl", r.conn.InstanceURL))
	if err != nil {
		return err
	}
	result, err := r.validate(ctx, zipped)
	if err != nil {
		return err
	}
	if result.DeployResult.Success {
		r.saw(id, "accepted", "a validation of header, OAuth settings and global settings ends with %s", result.DeployResult.Status)
		return nil
	}
	var said []string
	refused := false
	for _, failure := range result.DeployResult.Details.ComponentFailures {
		said = append(said, failure.ComponentType+": "+failure.Problem)
		refused = refused || strings.Contains(failure.Problem, "Ephemeral orgs")
	}
	if !refused {
		return fmt.Errorf("the validation of a deploy ends with %s: %s", result.DeployResult.Status, strings.Join(said, "; "))
	}
	r.saw(id, "refused", "%s", strings.Join(said, "; "))
	return nil
}

// deployZip returns the archive of a deploy.
func deployZip(version string, components ...*metadata.Component) ([]byte, error) {
	var zipped bytes.Buffer
	archive := zip.NewWriter(&zipped)
	manifest := `<?xml version="1.0" encoding="UTF-8"?><Package xmlns="` + metadata.Namespace + `">`
	for _, c := range components {
		typ := eca.Lookup(c.Type)
		file, err := archive.Create(typ.Folder + "/" + c.FullName + "." + typ.Suffix)
		if err != nil {
			return nil, err
		}
		if err := metadata.WriteSource(file, c); err != nil {
			return nil, err
		}
		manifest += "<types><members>" + c.FullName + "</members><name>" + c.Type + "</name></types>"
	}
	file, err := archive.Create("package.xml")
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(file, manifest+"<version>"+version+"</version></Package>")
	err = errors.Join(err, archive.Close())
	return zipped.Bytes(), err
}

// validate deploys an archive with checkOnly.
func (r *run) validate(ctx context.Context, zipped []byte) (result deployResult, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	options, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="json"`}, "Content-Type": {"application/json"}})
	if err == nil {
		_, err = io.WriteString(options, `{"deployOptions":{"checkOnly":true,"singlePackage":true,"rollbackOnError":true}}`)
	}
	if err != nil {
		return result, err
	}
	archive, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="deploy.zip"`}, "Content-Type": {"application/zip"}})
	if err == nil {
		_, err = archive.Write(zipped)
	}
	if err = errors.Join(err, form.Close()); err != nil {
		return result, err
	}
	path := "/services/data/v" + r.conn.APIVersion().String() + "/metadata/deployRequest"
	err = r.conn.Do(ctx, salesforce.Request{
		Method: http.MethodPost, Path: path, Authorize: true, Header: http.Header{"Content-Type": {form.FormDataContentType()}},
		Body: func(salesforce.Secret) ([]byte, error) { return body.Bytes(), nil },
	}, func(got *salesforce.Response) error {
		if got.Status >= http.StatusBadRequest {
			return refusal(got)
		}
		return json.Unmarshal(got.Body, &result)
	})
	if err != nil {
		return result, err
	}
	done, err := r.conn.Retry.Until(ctx, deployPolling, func(ctx context.Context) (bool, error) {
		err := r.rest.Do(ctx, http.MethodGet, "metadata/deployRequest/"+result.ID+"?includeDetails=true", nil, &result)
		return result.DeployResult.Done, err
	})
	if err == nil && !done {
		err = errors.New("the org does not finish the validation of a deploy")
	}
	return result, err
}
