"""Embedded Snowflake-protocol server: fakesnow + the shims a production-shaped client needs (proof of concept)."""
import sys, os, re, json, collections, uvicorn, fakesnow.server as s, fakesnow.cursor as cur, fakesnow.copy_into as ci
from fakesnow.instance import FakeSnow
from fakesnow import transforms as T
from sqlglot import exp
from starlette.responses import JSONResponse
import argparse
_ap=argparse.ArgumentParser(); _ap.add_argument('--port',type=int,required=True); _ap.add_argument('--data',required=True); _a,_=_ap.parse_known_args()
port=_a.port; path=_a.data; shims={'all'}
on=lambda k: 'all' in shims or k in shims
LEAD=r"(?is)^(?:\s|/\*.*?\*/|--[^\n]*\n)*"
NOP=[LEAD+r"(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(WAREHOUSE|ROLE|RESOURCE\s+MONITOR|STORAGE\s+INTEGRATION|EXTERNAL\s+VOLUME|STREAM|TASK)\b",
     LEAD+r"(GRANT|REVOKE)\s+", LEAD+r"ALTER\s+SESSION\s+(SET|UNSET)\s+", LEAD+r"REMOVE\s+@"]
if on('sum'):  # keep exact decimals: DuckDB SUM(DECIMAL) is already exact
    _agg=T.numeric_agg_implicit_cast
    def agg(e):
        if isinstance(e,exp.Sum):
            name=None if isinstance(e.parent,exp.Alias) else f"SUM({e.this.sql(dialect='snowflake').upper()})"
            return exp.alias_(e,name,quoted=True) if name and isinstance(e.parent,exp.Select) else e
        return _agg(e)
    T.numeric_agg_implicit_cast=agg
if on('temp'): # schema-qualified temp tables/views -> ordinary ones
    _tr=cur.FakeSnowflakeCursor._transform
    def tr(self,e,params):
        if isinstance(e,exp.Create) and e.kind in('TABLE','VIEW'):
            t=e.find(exp.Table); props=e.args.get('properties')
            if t is not None and t.db and props:
                props.set('expressions',[p for p in props.expressions if not isinstance(p,exp.TemporaryProperty)])
                if not props.expressions: e.set('properties',None)
        return _tr(self,e,params)
    cur.FakeSnowflakeCursor._transform=tr
if on('copy'):
    _fs=ci._from_source
    def from_source(e):
        f=e.args["files"][0].this
        if isinstance(f,exp.Select):
            src=f.args["from_"].this
            if isinstance(src,exp.Table) and isinstance(src.this,exp.Identifier) and src.name.startswith('@'): return src.name
            if isinstance(src,exp.Table) and isinstance(src.this,exp.Literal) and src.this.name.startswith('@'): return src.this.name
        return _fs(e)
    ci._from_source=from_source
    _pa=ci._params
    def params(e,*a,**k):
        keep=[]
        for p in e.args.get('params',[]):
            n=p.this.name.upper(); v=p.expression.sql().upper() if p.expression is not None else ''
            if n in('PURGE','FORCE') and v=='FALSE': continue
            if n in('ENFORCE_LENGTH','TRUNCATECOLUMNS','RETURN_FAILED_ONLY','LOAD_UNCERTAIN_FILES'): continue
            keep.append(p)
        e.set('params',keep); return _pa(e,*a,**k)
    ci._params=params
if on('tag'):  # QUERY_TAG round trip: ALTER SESSION SET QUERY_TAG / SHOW PARAMETERS LIKE 'query_tag'
    _ex=cur.FakeSnowflakeCursor.execute
    SETQT=re.compile(LEAD+r"ALTER\s+SESSION\s+SET\s+QUERY_TAG\s*=\s*'((?:[^']|'')*)'"); UNQT=re.compile(LEAD+r"ALTER\s+SESSION\s+UNSET\s+QUERY_TAG"); SHQT=re.compile(LEAD+r"SHOW\s+PARAMETERS\s+LIKE\s+'query_tag'")
    CW=re.compile(r"(?i)\bCURRENT_WAREHOUSE\s*\(\s*\)"); CR=re.compile(r"(?i)\bCURRENT_ROLE\s*\(\s*\)")
    def execute(self,command,params=None,*a,**k):
        c=self._conn
        if m:=SETQT.match(command): c._qt=m.group(1)
        elif UNQT.match(command): c._qt=''
        elif SHQT.match(command): command="SELECT 'QUERY_TAG' AS \"key\", '%s' AS \"value\", '' AS \"default\", 'SESSION' AS \"level\", '' AS \"description\", 'STRING' AS \"type\""%getattr(c,'_qt','')
        command=CR.sub("'TRANSFORMER'",CW.sub("'COMPUTE_WH'",command))
        return _ex(self,command,params,*a,**k)
    cur.FakeSnowflakeCursor.execute=execute
if on('merge'):  # native DuckDB MERGE (atomic, any expression, errors on multi-match like Snowflake) + Snowflake-shaped counts
    from fakesnow.transforms.merge import operations
    T.merge=lambda e:[e]
    _exe=cur.FakeSnowflakeCursor._execute
    def _execute(self,t,params=None):
        if isinstance(t,exp.Merge):
            ops=operations(t)
            for w in t.args['whens'].expressions if isinstance(t.args['whens'],exp.Whens) else t.args['whens']:
                th=w.args.get('then')
                if isinstance(th,exp.Update):
                    for eq in th.expressions:
                        if isinstance(eq.this,exp.Column): eq.this.set('table',None); eq.this.set('db',None); eq.this.set('catalog',None)
            if not self._conn._autocommit and not self._conn._in_transaction: self._duck_conn.begin(); self._conn._in_transaction=True
            import duckdb, snowflake.connector.errors as se
            try: rows=self._duck_conn.execute(t.sql(dialect='duckdb')+' RETURNING merge_action',params).fetchall()
            except duckdb.InvalidInputException as e: raise se.ProgrammingError(msg='Duplicate row detected during DML action: '+str(e)[:200],errno=100090,sqlstate='42P18')
            except duckdb.BinderException as e: raise se.ProgrammingError(msg=str(e),errno=2043,sqlstate='02000')
            n=collections.Counter(r[0] for r in rows); key={'inserted':'INSERT','updated':'UPDATE','deleted':'DELETE'}
            sel=exp.select(*[exp.alias_(exp.Literal.number(n[key[o]]),f'number of rows {o}',quoted=True) for o,i in ops.items() if i]); sel.set('merge_counts',True)
            return _exe(self,sel,None)
        return _exe(self,t,params)
    cur.FakeSnowflakeCursor._execute=_execute
if on('ctas'):  # CREATE TABLE (cols) AS SELECT -> CREATE + INSERT: keeps NOT NULL (enforced); PK/UNIQUE/FK are declarative in Snowflake
    T.create_table_as=lambda e,d:e
    _xp=cur.FakeSnowflakeCursor._transform_explode
    def explode(self,e):
        if isinstance(e,exp.Create) and e.kind=='TABLE' and isinstance(e.this,exp.Schema):
            for cd in list(e.this.expressions):
                if isinstance(cd,exp.ColumnDef): cd.set('constraints',[c for c in cd.args.get('constraints') or [] if not isinstance(c.kind,(exp.PrimaryKeyColumnConstraint,exp.UniqueColumnConstraint,exp.Reference))])
            e.this.set('expressions',[x for x in e.this.expressions if not isinstance(x,(exp.PrimaryKey,exp.UniqueColumnConstraint,exp.ForeignKey,exp.Constraint))])
            if isinstance(e.expression,(exp.Select,exp.Subquery,exp.Union)):
                q=e.expression; e.set('expression',None); tbl=e.this.this.copy()
                q=q.unnest() if isinstance(q,exp.Subquery) else q
                if not(e.args.get('replace')): return [e,exp.Insert(this=tbl,expression=q)]
                import sqlglot
                fq=tbl.sql(dialect='snowflake'); new=tbl.copy(); ident=new.this; ident.set('this',ident.this+'__FS_NEW'); e.this.set('this',new); nq=new.sql(dialect='snowflake')
                P=lambda x: sqlglot.parse_one(x,read='snowflake')
                return [e,exp.Insert(this=new.copy(),expression=q),P(f'DROP TABLE IF EXISTS {fq}'),P(f'ALTER TABLE {nq} RENAME TO {tbl.this.sql(dialect="snowflake")}')]
        return _xp(self,e)
    cur.FakeSnowflakeCursor._transform_explode=explode
if on('tx'):  # DuckDB aborts the transaction on any error, Snowflake does not: roll back and retry once
    _ex2=cur.FakeSnowflakeCursor.execute
    def execute2(self,command,params=None,*a,**k):
        import duckdb, time, snowflake.connector.errors as se
        for i in range(6):
            try: return _ex2(self,command,params,*a,**k)
            except duckdb.TransactionException as e:
                if 'aborted' in str(e): self._duck_conn.rollback(); self._conn._in_transaction=False; continue
                if 'onflict' in str(e) and i<5: time.sleep(.05*(i+1)); continue
                raise se.ProgrammingError(msg=str(e),errno=625,sqlstate='57014')
            except duckdb.ConstraintException as e: raise se.ProgrammingError(msg='NULL result in a non-nullable column: '+str(e),errno=100072,sqlstate='22000')
    cur.FakeSnowflakeCursor.execute=execute2
if on('info'):
    from fakesnow import info_schema as IS
    IS.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW=(IS.SQL_CREATE_GLOBAL_INFORMATION_SCHEMA_COLUMNS_VIEW
      .replace("null::VARCHAR as DATA_TYPE_ALIAS","columns.datetime_precision as DATETIME_PRECISION, null::VARCHAR as DATA_TYPE_ALIAS")
      .replace("columns.data_type='BIGINT' then 'NUMBER'","columns.data_type in ('BIGINT','HUGEINT') then 'NUMBER'").replace("when columns.data_type='BIGINT' then 38","when columns.data_type in ('BIGINT','HUGEINT') then 38"))
class Bounded(collections.OrderedDict):
    def __setitem__(self,k,v):
        super().__setitem__(k,v)
        while len(self)>256: self.popitem(last=False)
fs=dict(nop_regexes=NOP) if on('nop') else {}
if path!=":memory:":
    os.makedirs(path,exist_ok=True); fs['db_path']=path
s.shared_fs=FakeSnow(**fs)
if path!=':memory:':
    [s.shared_fs.connect(f[:-3]) for f in sorted(os.listdir(path)) if f.endswith('.db')]
s.shared_fs.results_cache=Bounded()
if os.environ.get('SLACKWATER_S3_ENDPOINT_URL'):
    import s3fs
    g=os.environ.get
    s.shared_fs.duck_conn.register_filesystem(s3fs.S3FileSystem(endpoint_url=g('SLACKWATER_S3_ENDPOINT_URL'),key=g('SLACKWATER_S3_ACCESS_KEY_ID','test'),secret=g('SLACKWATER_S3_SECRET_ACCESS_KEY','test'),client_kwargs={'region_name':g('SLACKWATER_S3_REGION','us-east-1')}))
from starlette.routing import Route
s.app.router.routes.append(Route('/health', lambda _: JSONResponse({'status':'ok'})))
class Shim:
    def __init__(self,app): self.app=app
    async def __call__(self,scope,receive,send):
        if scope['type']!='http' or 'query-request' not in scope['path']: return await self.app(scope,receive,send)
        st={}; body=b''
        async def snd(m):
            nonlocal body
            if m['type']=='http.response.start': st['start']=m; return
            body+=m.get('body',b'')
            if not m.get('more_body'):
                if st['start']['status']>=500:
                    try: msg=json.loads(body)['message']
                    except Exception: msg=body[:500].decode('utf8','replace')
                    await JSONResponse({"data":{"errorCode":"000603","sqlState":"XX000"},"code":"000603","message":"emulator: "+str(msg)[:1500],"success":False})(scope,receive,send); return
                await send(st['start']); await send({'type':'http.response.body','body':body})
        await self.app(scope,receive,snd)
uvicorn.run(Shim(s.app) if on('err') else s.app,host="127.0.0.1",port=port,log_level="warning")
