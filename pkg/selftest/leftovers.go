package selftest

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// The names of what a run creates say that it may be deleted, and whether the org setting that lets REST
// read secrets was on before the run: a killed run leaves nothing else that could. The main app is created
// first and deleted last, so without it there are no leftovers.
const (
	prefix    = "EcaSelftest_"
	accessOn  = "on_"
	accessOff = "off_"
)

// jwtCredential ends the name of a run's second external credential.
const jwtCredential = "_J"

// permissionSet is the metadata type, and the object.
const permissionSet = "PermissionSet"

// leftover matches the names of apps of selftests. The first part is the name of their run.
var leftover = regexp.MustCompile(`^(` + prefix + `(?:` + accessOn + `|` + accessOff + `)[0-9a-f]{8})_[A-Z]$`)

func newName(access bool) string {
	if access {
		return prefix + accessOn + random(4)
	}
	return prefix + accessOff + random(4)
}

// The apps of a run, each for facts that would disturb the others.
const (
	mainApp    = "_A" // whose consumer logs in and is rotated
	keyApp     = "_B" // whose consumer is created with a chosen key and secret
	headerApp  = "_C" // a header alone, which the org probably refuses
	deployApp  = "_D" // which is deployed without effect
	cleanUpFor = 2 * time.Minute
)

func (r *run) app(letter string) string { return r.name + letter }

// removeLeftovers deletes what killed runs have left, and restores the org setting that they had switched.
func (r *run) removeLeftovers(ctx context.Context) error {
	all, _, err := apps.Apps(ctx, r.conn)
	if err != nil {
		return err
	}
	runs := make(map[string][]string)
	for _, app := range all {
		if found := leftover.FindStringSubmatch(app.Name); found != nil && app.Namespace == "" {
			runs[found[1]] = append(runs[found[1]], app.Name)
		}
	}
	for name, names := range runs {
		if err := r.remove(ctx, name, names); err != nil {
			return &LeftoverError{App: name, Err: err}
		}
		for _, app := range names {
			r.notify(Event{Step: LeftoverDeleted, Name: app})
		}
	}
	return nil
}

// cleanUp deletes what the run has created, also if ctx has ended.
func (r *run) cleanUp(ctx context.Context) error {
	if !r.marked {
		return nil
	}
	r.notify(Event{Step: CleaningUp})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpFor)
	defer cancel()
	r.session.Revoke(ctx) // if that fails, the token ends with its app
	all, _, err := apps.Apps(ctx, r.conn)
	var names []string
	for _, app := range all {
		if strings.HasPrefix(app.Name, r.name) {
			names = append(names, app.Name)
		}
	}
	if err == nil {
		err = r.remove(ctx, r.name, names)
	}
	if err != nil {
		return &LeftoverError{App: r.name, Err: err}
	}
	return nil
}

// remove restores the org setting of a run and deletes what the run created. Its main app, by which
// the next run finds what is left, goes last.
func (r *run) remove(ctx context.Context, name string, appNames []string) error {
	if strings.HasPrefix(name, prefix+accessOff) {
		on, err := r.consumers().Access(ctx)
		if err == nil && on {
			err = r.consumers().SetAccess(ctx, false)
		}
		if err != nil {
			return err
		}
	}
	if err := r.removePermissionSet(ctx, name); err != nil {
		return err
	}
	external, err := r.meta.Read(ctx, connection.ExternalCredential, name, name+jwtCredential)
	if err != nil {
		return err
	}
	for _, one := range external {
		if err := r.delete(ctx, connection.ExternalCredential, one.FullName); err != nil {
			return err
		}
	}
	slices.SortFunc(appNames, func(a, b string) int { return strings.Compare(b, a) }) // the main app last
	return r.delete(ctx, eca.Header, appNames...)
}

func (r *run) removePermissionSet(ctx context.Context, name string) error {
	type record struct{ ID string }
	sets, err := restapi.Query[record](ctx, r.rest, "SELECT Id FROM PermissionSet WHERE Name = "+restapi.Quote(name))
	if err != nil || len(sets) == 0 {
		return err
	}
	assigned, err := restapi.Query[record](ctx, r.rest, "SELECT Id FROM PermissionSetAssignment WHERE PermissionSetId = "+restapi.Quote(sets[0].ID))
	if err != nil {
		return err
	}
	for _, assignment := range assigned {
		err := r.rest.Do(ctx, http.MethodDelete, "sobjects/PermissionSetAssignment/"+assignment.ID, nil, nil)
		if err != nil && salesforce.Code(err) != "NOT_FOUND" && salesforce.Code(err) != "ENTITY_IS_DELETED" {
			return err
		}
	}
	return r.delete(ctx, permissionSet, name)
}

// delete deletes components that the org has. A lost answer is no failure if the component is gone.
func (r *run) delete(ctx context.Context, typ string, names ...string) error {
	return r.conn.Retry.Do(ctx, func() error {
		results, err := r.meta.Delete(ctx, typ, names...)
		if err != nil {
			return err
		}
		for _, result := range results {
			if !result.Success && result.Errors[0].Code != "INVALID_CROSS_REFERENCE_KEY" {
				return result.Errors[0]
			}
		}
		return nil
	})
}
