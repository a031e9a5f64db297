package consumer

import (
	"context"
	"time"

	"github.com/ecakit/ecakit/pkg/restapi"
)

// Dates are when a consumer was created and last modified.
type Dates struct{ Created, Modified time.Time }

// AllDates returns the dates of the org's consumers, by the first 15 characters of their app's ID. An app
// with several consumers has the oldest. It takes one request. An org that refuses to show them has none.
func (c *Client) AllDates(ctx context.Context) (map[string]Dates, error) {
	type row struct {
		ExternalClientApplicationID   string `json:"ExternalClientApplicationId"`
		CreatedDate, LastModifiedDate string
	}
	rows, _, err := restapi.QueryColumns[row](ctx, c.rest(),
		[]string{"ExternalClientApplicationId", "CreatedDate", "LastModifiedDate"}, "ExtlClntAppOauthConsumer")
	if restapi.Refused(err) {
		return nil, nil
	}
	all := make(map[string]Dates)
	for _, r := range rows {
		id := restapi.ShortID(r.ExternalClientApplicationID)
		dates := Dates{restapi.ParseTime(r.CreatedDate), restapi.ParseTime(r.LastModifiedDate)}
		if known, ok := all[id]; !ok || dates.Modified.Before(known.Modified) {
			all[id] = dates
		}
	}
	return all, err
}

// Since returns since when the main credentials can exist at the latest and at the earliest: they are not
// older than earliest, and not younger than latest. Either is zero if it is unknown.
//
// After a rotation, the credentials beside the main ones show when those were staged. Whether a rotation
// moves a consumer's dates is not known, so a modification shows a rotation, and its absence shows nothing.
func (s *Status) Since(dates Dates) (earliest, latest time.Time) {
	if s.Beside != nil && (s.Beside.State == Rotated || s.Beside.State == Expired) {
		since := s.Beside.Created
		if since.IsZero() && !s.Beside.Expires.IsZero() {
			since = s.Beside.Expires.Add(-oldLife)
		}
		if !since.IsZero() {
			return since, since
		}
	}
	created := dates.Created
	if created.IsZero() {
		created = s.Consumer.Created
	}
	if dates.Modified.After(created) {
		return dates.Modified, dates.Modified
	}
	return created, time.Time{}
}
