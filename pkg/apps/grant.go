package apps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Grant is one step of giving access to an app: a permission set that should grant the app, or
// a user who should have the permission set. That a SetupEntityAccess can be created for an
// External Client App was seen on live orgs.
type Grant struct {
	PermissionSet string // the permission set's name
	User          string // the username; "" for the grant of the app

	// Exists reports that the org already has the grant.
	Exists bool
	// Created reports that the grant was created. Uncertain reports that it was sent without an
	// answer.
	Created   bool
	Uncertain bool
	// Err is why the grant is impossible, because of the org or the names.
	Err error

	fields map[string]any
}

// Object returns the object that records the grant.
func (g *Grant) Object() string {
	if g.User != "" {
		return permissionSetAssignment
	}
	return preflight.SetupEntityAccess
}

// OK reports whether the org has the grant.
func (g *Grant) OK() bool { return g.Err == nil && (g.Exists || g.Created) }

// Grants returns the grants of an app to permission sets, and of the permission sets to the
// user runAs, unless that is "".
func (f *Facts) Grants(app string, permissionSets []string, runAs string) (all []*Grant) {
	for _, name := range permissionSets {
		all = append(all, f.appGrant(app, name))
	}
	if runAs == "" {
		return all
	}
	for _, name := range permissionSets {
		all = append(all, f.userGrant(runAs, name))
	}
	return all
}

func (f *Facts) appGrant(app, permissionSet string) *Grant {
	appID, known := f.apps[fold(app)]
	set := f.sets[fold(permissionSet)]
	g := &Grant{
		PermissionSet: permissionSet, Exists: f.has[appID][set],
		fields: map[string]any{"ParentId": set, "SetupEntityId": appID},
	}
	switch err := f.unknown(preflight.PermissionSetObject, preflight.AppObject, preflight.SetupEntityAccess); {
	case err != nil:
		g.Err = err
	case set == "":
		g.Err = &NoPermissionSetError{permissionSet}
	case !known:
		g.Err = &NotFoundError{App: app}
	case appID == "":
		g.Err = fmt.Errorf("the org has several apps called %s; grant the right one in Setup", app)
	}
	return g
}

func (f *Facts) userGrant(runAs, permissionSet string) *Grant {
	user, known := f.users[fold(runAs)]
	set := f.sets[fold(permissionSet)]
	g := &Grant{
		PermissionSet: permissionSet, User: runAs, Exists: f.has[user.ID][set],
		fields: map[string]any{"AssigneeId": user.ID, "PermissionSetId": set},
	}
	switch err := f.unknown(preflight.PermissionSetObject, preflight.UserObject, permissionSetAssignment); {
	case err != nil:
		g.Err = err
	case set == "":
		g.Err = &NoPermissionSetError{permissionSet}
	case !known:
		g.Err = fmt.Errorf("there is no user %s on this org", runAs)
	case !g.Exists && !user.IsActive:
		g.Err = fmt.Errorf("the user %s is inactive; activate the user, or name another one in the policies", runAs)
	}
	return g
}

// NoPermissionSetError reports that the org has no permission set of that name.
type NoPermissionSetError struct{ Name string }

func (e *NoPermissionSetError) Error() string {
	return fmt.Sprintf("there is no permission set %s on this org; deploy it before the app, or correct its name", e.Name)
}

// unknown returns an error for the first of the objects whose query the org refused.
func (f *Facts) unknown(objects ...string) error {
	for _, object := range objects {
		if err := f.refused[object]; err != nil {
			return fmt.Errorf("the org refused the query of %s: %w", object, err)
		}
	}
	return nil
}

// Update updates grants with a later look at the org. now are the same grants as Grants returns
// them after that look. If the org refused the look, Update changes nothing and returns the
// reason.
func (f *Facts) Update(grants, now []*Grant) error {
	err := f.unknown(preflight.AppObject, preflight.UserObject, preflight.PermissionSetObject,
		preflight.SetupEntityAccess, permissionSetAssignment)
	if err != nil {
		return err
	}
	for i, g := range now {
		if was := grants[i]; !was.Exists && !was.Created && was.Err == nil {
			was.Created, was.Uncertain = g.Exists, false
		}
	}
	return nil
}

// maxGrants bounds the concurrent requests.
const maxGrants = 8

// CreateGrants creates the grants that the org does not have, several at a time. A refusal is recorded
// in the grant; the error is what ended CreateGrants as a whole. A failure does not cancel the other
// requests, because their effects on the org persist.
func CreateGrants(ctx context.Context, client *restapi.Client, grants []*Grant) error {
	var group errgroup.Group
	group.SetLimit(maxGrants)
	for _, g := range grants {
		if g.Exists || g.Created || g.Err != nil {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := client.Create(ctx, g.Object(), g.fields)
			g.Uncertain = salesforce.IsUncertain(err)
			refused, isAnswer := errors.AsType[*salesforce.Error](err)
			switch {
			case err == nil:
				g.Created = true
			case isAnswer && strings.HasPrefix(refused.Code, "DUPLICATE"):
				// DUPLICATE_VALUE or DUPLICATES_DETECTED: someone else was faster.
				g.Created = true
			case restapi.Refused(err):
				g.Err = fmt.Errorf("the org refused it: %w", refused)
			default:
				return err
			}
			return nil
		})
	}
	return group.Wait()
}
